import { createRequire } from 'node:module';
import { setFlagsFromString } from 'node:v8';
import type * as cedar from '@cedar-policy/cedar-wasm/nodejs';

export type Cedar = typeof cedar;

const SPECIFIER = '@cedar-policy/cedar-wasm/nodejs';

// V8 (seen in Node 20.20) ends the process with "unreachable code" when it has inlined a call into WebAssembly that
// returns an object, as all of Cedar's do, and must drop the optimized code during that call. Nothing can catch that.
setFlagsFromString('--no-turbo-inline-js-wasm-calls');

let loaded: Cedar | null = null;
let generation = 0;

/** Cedar threw instead of answering. The instance that did is gone; the next use gets a fresh one. */
export class CedarError extends Error {
  override readonly name = 'CedarError';
}

/**
 * Runs `work`, which does nothing but call Cedar. Throws CedarError alone.
 *
 * A trap in WebAssembly unwinds no stack: the instance keeps a damaged stack pointer and fails at everything from then
 * on. So whatever it throws, the instance is thrown away, with all the policies that it held parsed.
 */
export function useCedar<Answer>(work: (instance: Cedar) => Answer): Answer {
  try {
    loaded ??= load();
    return work(loaded);
  } catch (error) {
    loaded = null;
    generation += 1;
    throw new CedarError(error instanceof Error ? error.message : String(error));
  }
}

/** Changes with every instance that is thrown away: what was parsed into an earlier one is gone. */
export function cedarGeneration(): number {
  return generation;
}

/** A module of its own each time. Its `require` too: one that is kept would hold every instance it ever loaded. */
function load(): Cedar {
  const require = createRequire(import.meta.url);
  delete require.cache[require.resolve(SPECIFIER)];
  return require(SPECIFIER) as Cedar;
}
