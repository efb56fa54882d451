import type { Clock } from '@quorate/client';
import type { Revision } from '@quorate/kv';
import type { View, ViewHit } from '../store/store.js';

/** How long after its acknowledgement a sampled write is looked for, in milliseconds. */
export const AUDIT_WINDOWS_MS = [1000, 5000, 60_000] as const;

/** One of so many own writes is sampled. */
const SAMPLE_EVERY = 10;
/** Samples under way. Each lives for a minute. */
const SAMPLES_MAX = 1000;

/** An acknowledged write to a cached namespace. */
export interface AuditedWrite {
  readonly namespace: string;
  readonly key: string;
  readonly revision: Revision;
  /** It was a deletion. */
  readonly deleted: boolean;
}

/**
 * - `ok`: shown, or something newer.
 * - `stale`: the view has not come to its revision yet, and says so.
 * - `wrong`: the view has come past its revision and shows something older. A defect.
 * - `absent`: nothing is there at or past its revision. Deleted since, or lost: from here that cannot be told apart.
 * - `refused`: no answer, which is no inconsistency.
 */
export type AuditResult = 'ok' | 'stale' | 'wrong' | 'absent' | 'refused';

export interface AuditWindow {
  readonly afterMs: number;
  readonly results: Readonly<Record<AuditResult, number>>;
  /** 3: one of a thousand was not shown. Null: nothing was looked at. */
  readonly nines: number | null;
}

export interface AuditReport {
  readonly sampleEvery: number;
  readonly samplesUnderWay: number;
  /** Not sampled for want of room, or given up because the epoch changed. */
  readonly skipped: number;
  readonly windows: readonly AuditWindow[];
}

export interface AuditOptions {
  readonly view: Pick<View, 'read' | 'status'>;
  readonly clock: Pick<Clock, 'setTimer'>;
  readonly sampleEvery?: number;
  readonly samplesMax?: number;
}

interface Sample {
  readonly write: AuditedWrite;
  readonly epoch: number | null;
  cancel: () => void;
}

/**
 * Looks for own acknowledged writes in the view as a client would, after 1, 5 and 60 seconds. A write that the view has
 * not come to counts as stale without being read: a read of this gateway's own write would wait for it, while another
 * gateway's client would be shown the older value.
 */
export class ConsistencyAudit {
  readonly #view: Pick<View, 'read' | 'status'>;
  readonly #clock: Pick<Clock, 'setTimer'>;
  readonly #sampleEvery: number;
  readonly #samplesMax: number;
  readonly #samples = new Set<Sample>();
  readonly #results: Record<AuditResult, number>[] = AUDIT_WINDOWS_MS.map(() => ({
    ok: 0,
    stale: 0,
    wrong: 0,
    absent: 0,
    refused: 0,
  }));
  #writes = 0;
  #skipped = 0;
  #stopped = false;

  constructor({ view, clock, sampleEvery = SAMPLE_EVERY, samplesMax = SAMPLES_MAX }: AuditOptions) {
    this.#view = view;
    this.#clock = clock;
    this.#sampleEvery = sampleEvery;
    this.#samplesMax = samplesMax;
  }

  acknowledged(write: AuditedWrite): void {
    this.#writes += 1;
    // The first counts: somebody who writes once sees something too.
    if (this.#stopped || (this.#writes - 1) % this.#sampleEvery !== 0) return;
    if (this.#samples.size >= this.#samplesMax) {
      this.#skipped += 1;
      return;
    }
    const sample: Sample = { write, epoch: this.#view.status().epoch, cancel: () => undefined };
    this.#samples.add(sample);
    this.#await(sample, 0);
  }

  /** Ends all timers; samples under way are given up. */
  stop(): void {
    this.#stopped = true;
    for (const { cancel } of this.#samples) cancel();
    this.#samples.clear();
  }

  report(): AuditReport {
    return {
      sampleEvery: this.#sampleEvery,
      samplesUnderWay: this.#samples.size,
      skipped: this.#skipped,
      windows: AUDIT_WINDOWS_MS.map((afterMs, position) => {
        const results = { ...this.#resultsOf(position) };
        return { afterMs, results, nines: ninesOf(results) };
      }),
    };
  }

  #await(sample: Sample, position: number): void {
    const dueMs = AUDIT_WINDOWS_MS[position];
    if (dueMs === undefined) {
      this.#samples.delete(sample);
      return;
    }
    const delayMs = dueMs - (AUDIT_WINDOWS_MS[position - 1] ?? 0);
    sample.cancel = this.#clock.setTimer(delayMs, () => this.#look(sample, position));
  }

  #look(sample: Sample, position: number): void {
    const { write, epoch } = sample;
    const status = this.#view.status();
    if (status.epoch !== epoch) {
      // Its revision says nothing in another epoch.
      this.#skipped += 1;
      this.#samples.delete(sample);
      return;
    }
    this.#await(sample, position + 1);
    const results = this.#resultsOf(position);
    if (status.revision === null) {
      results.refused += 1;
      return;
    }
    if (status.revision < write.revision) {
      results.stale += 1;
      return;
    }
    void this.#read(write, results);
  }

  async #read(write: AuditedWrite, results: Record<AuditResult, number>): Promise<void> {
    const { namespace, key } = write;
    const outcome = await this.#view.read({
      namespace,
      key,
      level: { type: 'eventual' },
      minRevision: null,
      token: null,
    });
    if (this.#stopped) return;
    if (outcome.type === 'hit') results[judged(write, outcome)] += 1;
    else results[outcome.type === 'strict' ? 'absent' : 'refused'] += 1;
  }

  #resultsOf(position: number): Record<AuditResult, number> {
    const results = this.#results[position];
    if (results === undefined) throw new RangeError('There is no such window.');
    return results;
  }
}

function judged(write: AuditedWrite, { entry, revision }: ViewHit): AuditResult {
  if (revision < write.revision) return 'stale';
  if (entry === null) return write.deleted ? 'ok' : 'absent';
  return entry.revision >= write.revision ? 'ok' : 'wrong';
}

/** At least one is counted as not shown: few looks prove few nines. What was refused or is absent says nothing. */
function ninesOf({ ok, stale, wrong }: Readonly<Record<AuditResult, number>>): number | null {
  const looked = ok + stale + wrong;
  if (looked === 0) return null;
  const nines = Math.log10(looked / Math.max(1, stale + wrong));
  return Math.floor(nines * 100) / 100;
}
