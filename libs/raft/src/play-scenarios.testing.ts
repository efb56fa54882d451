import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { Scenario } from './scenario.testing.js';

export const SCENARIO_FOLDER = join(import.meta.dirname, '../testdata');

export function scenarioFiles(): string[] {
  return readdirSync(SCENARIO_FOLDER).filter((name) => name.endsWith('.txt'));
}

/** The scenario's text with what its commands print now. Throws what the core throws. */
export function playScenario(text: string): string {
  const scenario = new Scenario();
  const lines = text.split('\n').filter((line) => !line.startsWith('  '));
  const told = lines.flatMap((line) => {
    if (line.startsWith('#') || line === '') return [line];
    const printed = scenario.run(line).split('\n');
    return [line, ...printed.map((out) => `  ${out}`)];
  });
  return told.join('\n');
}

/** Plays all of them. `violation`: the first that goes another way than it is written, or null. */
export function searchScenarios(): { readonly violation: string | null; readonly played: number } {
  for (const [at, name] of scenarioFiles().entries()) {
    const text = readFileSync(join(SCENARIO_FOLDER, name), 'utf8');
    try {
      if (playScenario(text) !== text) return { violation: name, played: at + 1 };
    } catch {
      return { violation: name, played: at + 1 };
    }
  }
  return { violation: null, played: scenarioFiles().length };
}
