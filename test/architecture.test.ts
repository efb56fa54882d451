import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ROOMS, violationsOf } from './architecture.js';

const files = execFileSync(
  'git',
  ['ls-files', '--cached', '--others', '--exclude-standard', 'libs', 'apps'],
  {
    encoding: 'utf8',
  },
)
  .split('\n')
  .filter((path) => path.endsWith('.ts') && existsSync(path));
const isProduct = (path: string): boolean => !/\.test\.ts$|\.testing\.ts$|\/vitest\.config\.ts$/.test(path);

describe('architecture', () => {
  it('every product file keeps the arrows and the bans', () => {
    const product = files.filter(isProduct);
    expect(product.length).toBeGreaterThan(50);
    expect(product.flatMap((path) => violationsOf(path, readFileSync(path, 'utf8')))).toEqual([]);
  });

  it('every room of the table exists', () => {
    expect(ROOMS.filter((room) => !existsSync(room.path)).map((room) => room.path)).toEqual([]);
  });

  it('no folder is a dump, no barrel stands inside a package', () => {
    const bad = files.filter(
      (path) =>
        /\/(common|utils?|shared|helpers?)(\/|\.ts$)/.test(path) || /\/src\/.+\/index\.ts$/.test(path),
    );
    expect(bad).toEqual([]);
  });

  // The test must be able to fail: one example for each kind of rule.
  const examples: readonly (readonly [string, string, string])[] = [
    ['libs/raft/src/x.ts', "import { readFileSync } from 'node:fs';", 'must not import node:fs'],
    ['libs/raft/src/x.ts', "import { StateMachine } from '@quorate/kv';", 'must not import @quorate/kv'],
    ['libs/kv/src/x.ts', 'const now = Date.now();', '"Date" is banned'],
    ['libs/cache/src/x.ts', 'const r = Math.random();', '"Math.random" is banned'],
    ['libs/raft/src/x.ts', 'async function step() {}', '"async" is banned'],
    ['libs/client/src/store-client.ts', 'setTimeout(retry, 10);', '"setTimeout" is banned'],
    ['libs/replica/src/x.ts', 'process.exit(1);', '"process." is banned'],
    [
      'libs/client/src/store-client.ts',
      "import { LinkConnection } from '@quorate/link';",
      'must not import @quorate/link',
    ],
    [
      'apps/gateway/src/x.ts',
      "import { Replica } from '@quorate/replica';",
      'must not import @quorate/replica',
    ],
    ['apps/simulator/src/x.ts', "import net from 'node:net';", 'must not import node:net'],
    [
      'apps/simulator/src/x.ts',
      "import { LinkServer } from '@quorate/link';",
      'must not import @quorate/link',
    ],
    ['apps/store/src/x.ts', "export * from './y.js';", '"export *" is banned'],
    ['apps/store/src/x.ts', 'const t = 3 as Term;', '"as Term" is banned'],
    ['apps/store/src/x.ts', 'function f(x: any) {}', '": any" is banned'],
    ['libs/kv/src/x.ts', "import { Raft } from '../../raft/src/raft.js';", 'reaches into another package'],
    ['libs/nowhere/src/x.ts', '', 'lies in no room'],
  ];
  it.each(examples)('can fail: %s: %s', (path, text, expected) => {
    expect(violationsOf(path, text).join('\n')).toContain(expected);
  });

  it('does not mistake comments and strings for code', () => {
    expect(
      violationsOf('libs/raft/src/x.ts', "// await Date\n/* async */ const a = 'Math.random';\n"),
    ).toEqual([]);
  });
});
