import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';

const SPECIFIED = ['raft', 'kv', 'cache', 'feed'];

function testNamesOf(folder: string): string {
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.test.ts'),
  );
  return files.map((name) => readFileSync(join(folder, name), 'utf8')).join('\n');
}

describe('specifications', () => {
  it.each(SPECIFIED)('%s: every rule has a test and every cited rule exists', (lib) => {
    const spec = readFileSync(`libs/${lib}/SPEC.md`, 'utf8');
    const rules = [...spec.matchAll(/^\s*-?\s*\*\*([A-Z]+\d+)\*\*/gm)].map((match) => match[1] ?? '');
    expect(rules.length).toBeGreaterThan(5);
    expect(new Set(rules).size).toBe(rules.length);
    const cited = new Set(
      [...testNamesOf(`libs/${lib}`).matchAll(/\[([A-Z]+\d+)\]/g)].map((match) => match[1] ?? ''),
    );
    expect(rules.filter((rule) => !cited.has(rule))).toEqual([]);
    expect([...cited].filter((rule) => !rules.includes(rule))).toEqual([]);
  });
});

describe('documents', () => {
  const documents = [
    'README.md',
    'ARCHITECTURE.md',
    'CHANGELOG.md',
    ...readdirSync('docs').map((name) => `docs/${name}`),
  ].filter((name) => name.endsWith('.md'));

  it.each(documents)('%s: every relative link leads somewhere', (document) => {
    const text = readFileSync(document, 'utf8');
    const links = [...text.matchAll(/\]\((?!https?:|#)([^)#\s]+)[^)]*\)/g)].map((match) => match[1] ?? '');
    expect(links.filter((link) => !existsSync(join(dirname(document), link)))).toEqual([]);
  });

  it('ARCHITECTURE.md stays short', () => {
    expect(readFileSync('ARCHITECTURE.md', 'utf8').split('\n').length).toBeLessThanOrEqual(200);
  });

  it('every npm script that the README names exists', () => {
    const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as {
      scripts: Record<string, string>;
    };
    const named = [
      ...readFileSync('README.md', 'utf8').matchAll(/npm (?:run ([a-z:]+)|(start|test)\b)/g),
    ].map((match) => match[1] ?? match[2] ?? '');
    expect(named.length).toBeGreaterThan(2);
    expect(named.filter((name) => !(name in scripts))).toEqual([]);
  });
});
