import { seededRandom } from './commands.testing.js';
import { WIDE, wideStep } from './random-commands.testing.js';
import { StateMachine } from './state-machine.js';

const SEEDS = 12;
const STEPS = 2_500;
const STEPS_BETWEEN_CAPTURES = 400;
/** Small, so that much is applied between the first chunk and the last. */
const CHUNK_BYTES = 4 * 1024;

interface Capture {
  readonly step: number;
  readonly hash: string;
  readonly pull: Iterator<Uint8Array>;
  readonly chunks: Uint8Array[];
  isOver: boolean;
}

/**
 * Snapshots that are read chunk by chunk while random commands are applied: each must restore to the state of its beginning [K28] [K29]. Stops at the first
 * that does not. `snapshots`: how many were read to the end.
 */
export function searchCaptures(): { readonly violation: string | null; readonly snapshots: number } {
  let snapshots = 0;
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    const random = seededRandom(seed);
    const machine = new StateMachine(WIDE);
    const open: Capture[] = [];
    for (let step = 0; step < STEPS || open.length > 0; step += 1) {
      if (step < STEPS && step % STEPS_BETWEEN_CAPTURES === STEPS_BETWEEN_CAPTURES - 1) {
        const pull = machine.snapshot(CHUNK_BYTES)[Symbol.iterator]();
        open.push({ step, hash: machine.stateHash(), pull, chunks: [], isOver: false });
      }
      wideStep(random, [machine], step);
      const capture = step % 5 === 0 ? open[random(Math.max(1, open.length))] : undefined;
      if (capture === undefined) continue;
      const fault = advance(capture);
      if (fault !== null)
        return { violation: `a capture: seed ${seed}, step ${capture.step}, ${fault}`, snapshots };
      if (!capture.isOver) continue;
      open.splice(open.indexOf(capture), 1);
      snapshots += 1;
    }
  }
  return { violation: null, snapshots };
}

/** Reads the next chunk; behind the last one, compares. Null: nothing is wrong so far. */
function advance(capture: Capture): string | null {
  try {
    const next = capture.pull.next();
    if (next.done !== true) {
      capture.chunks.push(next.value);
      return null;
    }
    capture.isOver = true;
    const restored = StateMachine.restore(capture.chunks, WIDE).stateHash();
    return restored === capture.hash ? null : 'another state';
  } catch (error) {
    return error instanceof Error ? error.message : 'not an error';
  }
}
