import { createNamespace, put, remove, run, seededRandom } from './commands.testing.js';
import { StateMachine } from './state-machine.js';
import { LIST_LIMIT_MAX, revision } from './types.js';

const SEEDS = 4;
const STEPS = 12_000;
const STEPS_BETWEEN_LOOKS = 500;
const KEYS = 1_500;

/**
 * One namespace whose keys come and go, more and fewer in turns: each that is there is found with its newest revision, no other is, and a list has
 * them in the order of their bytes [K26] [K37]. Stops at the first that is not so. `looks`: how often all were compared.
 */
export function searchKeys(): { readonly violation: string | null; readonly looks: number } {
  let looks = 0;
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    const random = seededRandom(seed);
    const machine = new StateMachine({ keyHashSeed: [seed, random(2 ** 31)] });
    const expected = new Map<string, number>();
    run(machine, createNamespace('n'));
    for (let step = 1; step <= STEPS; step += 1) {
      const isGrowing = Math.floor((step * 6) / STEPS) % 2 === 0;
      const key = keyOf(random(KEYS));
      if (random(10) < (isGrowing ? 7 : 3)) {
        run(machine, put('n', key));
        expected.set(key, machine.head);
      } else {
        run(machine, remove('n', key));
        expected.delete(key);
      }
      if (step % STEPS_BETWEEN_LOOKS !== 0) continue;
      looks += 1;
      const fault = compare(machine, expected);
      if (fault !== null) return { violation: `keys: seed ${seed}, step ${step}, ${fault}`, looks };
    }
  }
  return { violation: null, looks };
}

/** Of one to four bytes a character, so that the order of bytes is not that of UTF-16. */
function keyOf(number: number): string {
  return `${['k', 'é', '\uff5e', '\u{1f600}'][number % 4] ?? ''}${number}`;
}

function compare(machine: StateMachine, expected: ReadonlyMap<string, number>): string | null {
  for (let number = 0; number < KEYS; number += 1) {
    const key = keyOf(number);
    if (machine.get('n', key)?.revision !== expected.get(key)) return `${key} is not what it was set to`;
  }
  const keys = [...expected.keys()]
    .map((key) => Buffer.from(key))
    .toSorted((one, other) => Buffer.compare(one, other));
  let after = 0;
  for (const first of ['k', 'é', '\uff5e', '\u{1f600}']) {
    // Lists are bounded: one for each of the characters that keys begin with.
    const { entries } = machine.list('n', { prefix: first, limit: LIST_LIMIT_MAX });
    for (const { key, revision: at } of entries) {
      if (keys[after]?.toString() !== key) return `a list has ${key} out of place`;
      if (at !== revision(expected.get(key) ?? 0)) return `a list has an old ${key}`;
      after += 1;
    }
  }
  return after === keys.length ? null : 'a list has too few';
}
