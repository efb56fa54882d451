import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

/** What a process says when its own state contradicts itself, or that of the majority. No fault of the outside may bring that about. */
const CONFESSION = /AssertionError|differs from the majority's/;
const LINE_LENGTH_MAX = 400;
const LINES_MAX = 20;

/** Lines of the logs (`store1.log`..) in which a process says that an invariant broke, each behind the name of the process. */
export function brokenInvariantsIn(folder: string): readonly string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => name.endsWith('.log'))
    .toSorted()
    .flatMap((name) => {
      const lines = readFileSync(join(folder, name), 'utf8').split('\n');
      const said = lines.filter((line) => CONFESSION.test(line)).slice(0, LINES_MAX);
      return said.map((line) => `${name.slice(0, -'.log'.length)}: ${line.slice(0, LINE_LENGTH_MAX)}`);
    });
}
