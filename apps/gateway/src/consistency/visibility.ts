import type { Revision } from '@quorate/kv';
import { Distribution, LIMITS_MS } from './distribution.js';

/** Acknowledged writes that this gateway's view does not show yet and that are remembered. */
const WAITING_MAX = 10_000;

/** A write of this gateway to a cached namespace. Instants are of one monotonic clock, in milliseconds. */
export interface AcknowledgedWrite {
  readonly revision: Revision;
  readonly sentMs: number;
  readonly acknowledgedMs: number;
}

/** How long the view took to show own writes. */
export interface DelayReport {
  readonly count: number;
  /** Null: nothing was measured yet. */
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
  readonly p999Ms: number | null;
  readonly maxMs: number | null;
  /** Share of the writes that were visible within so many milliseconds; those that wait for longer than that count as not. */
  readonly points: readonly { readonly withinMs: number; readonly share: number }[];
}

export interface VisibilityReport {
  /** From the acknowledgement to what the view shows: never longer than from the commit. */
  readonly sinceAcknowledged: DelayReport;
  /** From when the write was sent: never shorter than from the commit. */
  readonly sinceSent: DelayReport;
  /** Acknowledged, and not visible here yet. */
  readonly waiting: number;
  readonly waitingOldestMs: number | null;
  /** Given up: too many waited, or the epoch changed. */
  readonly dropped: number;
}

/**
 * Measures t-visibility without comparing clocks: how long after its commit a write is shown by this gateway's view. When
 * the commit was, nobody here knows; it lies between when this gateway sent the write and when it was told. So both spans
 * are measured, and the true one lies between them. Only this gateway's own writes count, and a moment counts as visible
 * when the view has applied the write's revision: what an eventual read would show from then on.
 */
export class Visibility {
  readonly #sinceAcknowledged = new Distribution();
  readonly #sinceSent = new Distribution();
  readonly #onMeasured: (sinceAcknowledgedMs: number, sinceSentMs: number) => void;
  #waiting: AcknowledgedWrite[] = [];
  #applied: { readonly revision: Revision; readonly epoch: number } | null = null;
  #dropped = 0;

  constructor(onMeasured: (sinceAcknowledgedMs: number, sinceSentMs: number) => void = () => undefined) {
    this.#onMeasured = onMeasured;
  }

  /** What the view has applied; null: nothing yet. */
  get appliedRevision(): Revision | null {
    return this.#applied?.revision ?? null;
  }

  /** The store has acknowledged a write. The view may have applied it before: the feed can be faster than the answer. */
  acknowledged(write: AcknowledgedWrite): void {
    if (this.#applied !== null && this.#applied.revision >= write.revision) {
      this.#measure(write, write.acknowledgedMs);
    } else if (this.#waiting.length < WAITING_MAX) {
      this.#waiting.push(write);
    } else {
      this.#dropped += 1;
    }
  }

  /** The view has applied everything up to `revision` of `epoch`. */
  advanced(revision: Revision, epoch: number, nowMs: number): void {
    if (this.#applied !== null && this.#applied.epoch !== epoch) {
      // Revisions of two epochs do not compare.
      this.#dropped += this.#waiting.length;
      this.#waiting = [];
    }
    this.#applied = { revision, epoch };
    if (this.#waiting.length === 0) return;
    const visible = this.#waiting.filter((write) => write.revision <= revision);
    this.#waiting = this.#waiting.filter((write) => write.revision > revision);
    for (const write of visible) this.#measure(write, nowMs);
  }

  report(nowMs: number): VisibilityReport {
    const agesMs = (from: (write: AcknowledgedWrite) => number): readonly number[] =>
      this.#waiting.map((write) => nowMs - from(write));
    const sinceAcknowledged = agesMs(({ acknowledgedMs }) => acknowledgedMs);
    return {
      sinceAcknowledged: delayReport(this.#sinceAcknowledged, sinceAcknowledged),
      sinceSent: delayReport(
        this.#sinceSent,
        agesMs(({ sentMs }) => sentMs),
      ),
      waiting: this.#waiting.length,
      waitingOldestMs: sinceAcknowledged.length === 0 ? null : Math.max(...sinceAcknowledged),
      dropped: this.#dropped,
    };
  }

  #measure({ sentMs, acknowledgedMs }: AcknowledgedWrite, visibleMs: number): void {
    const sinceAcknowledgedMs = Math.max(0, visibleMs - acknowledgedMs);
    const sinceSentMs = Math.max(0, visibleMs - sentMs);
    this.#sinceAcknowledged.record(sinceAcknowledgedMs);
    this.#sinceSent.record(sinceSentMs);
    this.#onMeasured(sinceAcknowledgedMs, sinceSentMs);
  }
}

/** Without those that wait, a write that never becomes visible would not be in the picture at all. */
function delayReport(measured: Distribution, waitingMs: readonly number[]): DelayReport {
  const points = LIMITS_MS.map((withinMs, position) => {
    const visible = measured.countWithin(position);
    const known = measured.count + waitingMs.filter((ms) => ms > withinMs).length;
    return { withinMs, share: known === 0 ? 0 : visible / known };
  });
  return {
    count: measured.count,
    p50Ms: measured.percentileMs(50),
    p99Ms: measured.percentileMs(99),
    p999Ms: measured.percentileMs(99.9),
    maxMs: measured.maxMs,
    points: measured.count === 0 ? [] : points,
  };
}
