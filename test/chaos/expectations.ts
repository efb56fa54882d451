import type { Part } from './fault.js';
import type { Operation } from './operation.js';
import type { Expectation } from './plan.js';

/** When the faults of a step were in force, on the clock of the operations: all of them, from `fromMs` to `toMs`. */
export interface Held {
  readonly fromMs: number;
  readonly toMs: number;
}

/** What was expected, what was seen, and whether that is it. */
export interface Observation {
  readonly text: string;
  readonly seen: string;
  readonly isMet: boolean;
}

/** A request that waits as long when the faults end says nothing of them. */
const UNDECIDED_MS = 3_000;
/** How far the growth of the staleness may lie behind the clock: the first answers may still be proven by a probe that came through. */
const GROWTH_MARGIN_MS = 1_500;
/** Two answers that lie so far apart show whether the staleness grows. */
const GROWTH_SPAN_MS = 2_000;

/**
 * Compares a history with what a step lets expect. Where nothing was asked nothing was shown: that is never as expected. Of content only what
 * was asked at the level `eventual` counts: a bounded read, or one with a token, may be refused by right.
 */
export function observe(
  expectation: Expectation,
  operations: readonly Operation[],
  held: Held,
): readonly Observation[] {
  return expectation.gateways.map((gateway) => {
    const here = operations.filter(
      (one) => one.gateway === numberOf(gateway) && one.invokedMs >= held.fromMs && isDecided(one, held),
    );
    switch (expectation.kind) {
      case 'answered':
        return observeAnswered(expectation, gateway, here, held);
      case 'refused':
        return observeRefused(gateway, here);
      case 'ageGrows':
        return observeGrowth(gateway, here);
      case 'fresh':
        return observeFreshness(expectation, gateway, here, held);
    }
  });
}

/** What it says at this place of a report and of a table. */
export function numberOf(gateway: Part): number {
  return Number(/\d+$/.exec(gateway)?.[0] ?? 0);
}

/** It ended while the faults were in force, or it waited for long. */
function isDecided({ invokedMs, completedMs }: Operation, { toMs }: Held): boolean {
  return completedMs !== null && completedMs <= toMs ? true : invokedMs <= toMs - UNDECIDED_MS;
}

/** What came back says that the tier works: also a condition that does not hold, or an entry that is not there. */
export function isAnswer({ outcome, status, completedMs }: Operation): boolean {
  if (completedMs === null || status === null) return false;
  return outcome === 'done' || (status < 500 && status !== 429);
}

function isEventual({ tier, level }: Operation): boolean {
  return tier === 'content' && (level === null || level === 'eventual');
}

function observeAnswered(
  expectation: Extract<Expectation, { readonly kind: 'answered' }>,
  gateway: Part,
  here: readonly Operation[],
  { fromMs, toMs }: Held,
): Observation {
  const { tier, shareMin, settleMs } = expectation;
  const asked = here.filter(
    (one) => one.invokedMs >= fromMs + settleMs && (tier === 'strict' ? one.tier === tier : isEventual(one)),
  );
  const answered = asked.filter((one) => isAnswer(one) && (one.completedMs ?? Infinity) <= toMs);
  const after = settleMs === 0 ? '' : ` from ${settleMs / 1_000} s on`;
  return {
    text: `${tier} answered at ${gateway}${after}, at least ${shareMin * 100} %`,
    seen: `${answered.length} of ${asked.length}`,
    isMet: asked.length > 0 && answered.length >= shareMin * asked.length,
  };
}

function observeRefused(gateway: Part, here: readonly Operation[]): Observation {
  const strict = here.filter(({ tier }) => tier === 'strict');
  const refused = strict.filter(({ status }) => status === 503 || status === 504).length;
  const answered = strict.filter(({ outcome }) => outcome === 'done').length;
  return {
    text: `strict refused at ${gateway}, never answered`,
    seen: `${refused} refused, ${answered} answered`,
    isMet: refused > 0 && answered === 0,
  };
}

/** Staleness that was stated, with when it was. */
function statedBy(here: readonly Operation[]): readonly { readonly atMs: number; readonly ms: number }[] {
  return here
    .filter((one) => isEventual(one) && one.outcome === 'done' && one.completedMs !== null)
    .flatMap(({ completedMs, stalenessMs }) =>
      completedMs === null || stalenessMs === null ? [] : [{ atMs: completedMs, ms: stalenessMs }],
    )
    .toSorted((one, other) => one.atMs - other.atMs);
}

function observeGrowth(gateway: Part, here: readonly Operation[]): Observation {
  const text = `the age of content grows at ${gateway}`;
  const stated = statedBy(here);
  const [first, last] = [stated[0], stated.at(-1)];
  if (first === undefined || last === undefined) return { text, seen: 'no age was stated', isMet: false };
  const passedMs = last.atMs - first.atMs;
  return {
    text,
    seen: `${first.ms} to ${last.ms} ms in ${(passedMs / 1_000).toFixed(1)} s`,
    isMet: passedMs >= GROWTH_SPAN_MS && last.ms - first.ms >= passedMs - GROWTH_MARGIN_MS,
  };
}

function observeFreshness(
  { belowMs, settleMs }: Extract<Expectation, { readonly kind: 'fresh' }>,
  gateway: Part,
  here: readonly Operation[],
  { fromMs }: Held,
): Observation {
  const stated = statedBy(here).filter(({ atMs }) => atMs >= fromMs + settleMs);
  const maxMs = stated.reduce((most, { ms }) => Math.max(most, ms), 0);
  return {
    text: `the age of content stays below ${belowMs} ms at ${gateway}`,
    seen: `${stated.length} answers, at most ${maxMs} ms`,
    isMet: stated.length > 0 && maxMs < belowMs,
  };
}
