import { median } from './measure.js';

/** All times here are milliseconds on one clock: that of the process that writes and reads. Values of a key only grow; 0: there is none yet. */

/** How far back it is known what had been acknowledged: longer than the audit's longest window. */
const KEPT_MS = 90_000;

interface Acknowledged {
  readonly value: number;
  readonly atMs: number;
}

/** Which values were sent and acknowledged when, per key. Bounded: what is older than `KEPT_MS` goes, except the newest of it. */
export class Acknowledgements {
  readonly #acknowledged = new Map<string, Acknowledged[]>();
  readonly #sent = new Map<string, number>();

  send(key: string, value: number): void {
    this.#sent.set(key, Math.max(value, this.largestSent(key)));
  }

  acknowledge(key: string, value: number, atMs: number): void {
    const list = this.#acknowledged.get(key) ?? [];
    list.push({ value, atMs });
    while ((list[1]?.atMs ?? Infinity) <= atMs - KEPT_MS) list.shift();
    this.#acknowledged.set(key, list);
  }

  /** The largest value of `key` that was surely acknowledged at `atMs`. Too small, never too large, when that is long ago. */
  floor(key: string, atMs: number): number {
    const list = this.#acknowledged.get(key) ?? [];
    return list.findLast((one) => one.atMs <= atMs)?.value ?? 0;
  }

  largestSent(key: string): number {
    return this.#sent.get(key) ?? 0;
  }
}

/** An answer to a read, with what was asked for. */
export interface SeenRead {
  readonly gateway: number;
  readonly key: string;
  readonly asked: Asked;
  /** The answer's own Read-Consistency is `linearizable`. */
  readonly isLinearizable: boolean;
  /** The bound that its Staleness header states; null: none. */
  readonly stalenessMs: number | null;
  readonly value: number;
  readonly sentMs: number;
}

export type Asked =
  | { readonly level: 'eventual' | 'linearizable' }
  | { readonly level: 'bounded'; readonly ms: number }
  /** `value`: what the write wrote whose token went along. */
  | { readonly level: 'session'; readonly value: number };

export type Broken = 'session' | 'bound' | 'linearizable' | 'staleness' | 'backwards' | 'never sent';

export interface Violation {
  readonly broken: Broken;
  /** A sentence with the numbers. */
  readonly story: string;
}

/**
 * What an answer proves to be broken. Only what is sure counts: the gateway decided upon its answer after the request was sent, so an answer
 * no older than `ms` holds whatever had been acknowledged `ms` before the sending.
 */
export function judge(read: SeenRead, acknowledgements: Acknowledgements): readonly Violation[] {
  const { key, asked, value, sentMs, stalenessMs } = read;
  const found: Violation[] = [];
  const expect = (broken: Broken, least: number, because: string): void => {
    if (value >= least) return;
    found.push({
      broken,
      story: `gateway ${read.gateway + 1} gave ${key}=${value} to a read of level ${asked.level} sent at ${sentMs.toFixed(1)} ms; at least ${least} was due: ${because}`,
    });
  };
  if (asked.level === 'session') expect('session', asked.value, 'its token was that of this write');
  if (asked.level === 'bounded') {
    expect('bound', acknowledgements.floor(key, sentMs - asked.ms), `acknowledged ${asked.ms} ms before`);
  }
  if (asked.level === 'linearizable' || read.isLinearizable) {
    expect('linearizable', acknowledgements.floor(key, sentMs), 'acknowledged before');
  }
  if (stalenessMs !== null) {
    const least = acknowledgements.floor(key, sentMs - stalenessMs);
    expect('staleness', least, `acknowledged ${stalenessMs} ms before, which it said was its age at most`);
  }
  const sent = acknowledgements.largestSent(key);
  if (value > sent) {
    found.push({
      broken: 'never sent',
      story: `${key}=${value} was read, and ${sent} is the largest ever sent`,
    });
  }
  return found;
}

/** What a request may not fall behind: remembered when it is sent. */
export interface SeenBefore {
  readonly life: number;
  readonly value: number;
}

/** In one life of a gateway, its cache goes forward: a read that begins after another one ended shows no older value. */
export class Lives {
  readonly #lives: { life: number; seen: Map<string, number> }[];

  constructor(gateways: number) {
    this.#lives = Array.from({ length: gateways }, () => ({ life: 0, seen: new Map<string, number>() }));
  }

  /** The gateway was killed: what it shows next may be older. */
  end(gateway: number): void {
    const of = this.#of(gateway);
    of.life += 1;
    of.seen.clear();
  }

  life(gateway: number): number {
    return this.#of(gateway).life;
  }

  before(gateway: number, key: string): SeenBefore {
    const { life, seen } = this.#of(gateway);
    return { life, value: seen.get(key) ?? 0 };
  }

  /** Takes an answer from a cache, not one from the store: what a store showed, its gateway's cache need not know yet. */
  see(read: SeenRead, before: SeenBefore): Violation | null {
    const { gateway, key, value } = read;
    const { life, seen } = this.#of(gateway);
    if (life !== before.life) return null;
    seen.set(key, Math.max(value, seen.get(key) ?? 0));
    if (value >= before.value) return null;
    return {
      broken: 'backwards',
      story: `gateway ${gateway + 1} gave ${key}=${value} to a read of level ${read.asked.level} sent at ${read.sentMs.toFixed(1)} ms, after it had shown ${before.value} in the same life`,
    };
  }

  #of(gateway: number): { life: number; seen: Map<string, number> } {
    const of = this.#lives[gateway];
    if (of === undefined) throw new Error(`there is no gateway ${gateway}`);
    return of;
  }
}

export type Verdict = 'ok' | 'stale' | 'unavailable';

/** An audited read: is the write there, or a newer one? `value` null: no answer that holds one. */
export function verdictOf(value: number | null, written: number): Verdict {
  if (value === null) return 'unavailable';
  return value >= written ? 'ok' : 'stale';
}

export interface AuditRow {
  readonly gateway: number;
  readonly windowSeconds: number;
  readonly ok: number;
  readonly stale: number;
  readonly unavailable: number;
  /** `2.7`, or `> 3.1` when nothing was stale: more samples would have been needed to see more. */
  readonly nines: string;
}

/** Verdicts per gateway and per time after the acknowledgement. */
export class AuditTally {
  readonly #counts = new Map<string, Record<Verdict, number>>();

  add(gateway: number, windowSeconds: number, verdict: Verdict): void {
    const id = `${gateway} ${windowSeconds}`;
    const counts = this.#counts.get(id) ?? { ok: 0, stale: 0, unavailable: 0 };
    counts[verdict] += 1;
    this.#counts.set(id, counts);
  }

  rows(): readonly AuditRow[] {
    return [...this.#counts]
      .map(([id, counts]) => {
        const [gateway = 0, windowSeconds = 0] = id.split(' ').map(Number);
        return { gateway, windowSeconds, ...counts, nines: ninesOf(counts.ok, counts.stale) };
      })
      .toSorted((one, other) => one.windowSeconds - other.windowSeconds || one.gateway - other.gateway);
  }
}

/** How many nines `ok / (ok + stale)` has: 0.999 has three. */
export function ninesOf(ok: number, stale: number): string {
  const all = ok + stale;
  if (all === 0) return '-';
  if (stale === 0) return `> ${Math.log10(all).toFixed(1)}`;
  return Math.abs(Math.log10(stale / all)).toFixed(1);
}

/** What a process held over its life. */
export interface MemoryTrend {
  readonly samples: number;
  /** Medians of the first and the last third, in the unit of the samples. */
  readonly first: number;
  readonly last: number;
  readonly word: 'flat' | 'growing' | 'too short';
}

/** With fewer samples a third of them says nothing. */
const TREND_SAMPLES_MIN = 9;
/** A process that collects garbage breathes; what grows without end passes this in a run of an hour, at the latest. */
const FLAT_RATIO_MAX = 1.15;

export function memoryTrend(samples: readonly number[]): MemoryTrend {
  const third = Math.floor(samples.length / 3);
  const first = median(samples.slice(0, third));
  const last = median(samples.slice(samples.length - third));
  const grown = last > first * FLAT_RATIO_MAX ? 'growing' : 'flat';
  return {
    samples: samples.length,
    first,
    last,
    word: samples.length < TREND_SAMPLES_MIN ? 'too short' : grown,
  };
}
