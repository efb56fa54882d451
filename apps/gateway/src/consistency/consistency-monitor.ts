import type { Clock } from '@quorate/client';
import type { Operation, Revision } from '@quorate/kv';
import type { Store, View } from '../store/store.js';
import { ConsistencyAudit, type AuditReport } from './audit.js';
import { ReadCounts } from './read-counts.js';
import { Visibility, type VisibilityReport } from './visibility.js';

/** Names of cached namespaces that are remembered. Of others it is looked up again. */
const CACHED_NAMES_MAX = 1000;

/** Called for each own write that became visible, with both spans in seconds. For the metrics. */
type VisibleListener = (sinceAcknowledgedSeconds: number, sinceSentSeconds: number) => void;

/** What this gateway measures of its own consistency. Everything in it is bounded. */
export class ConsistencyMonitor {
  readonly reads = new ReadCounts();
  readonly visibility: Visibility;
  readonly audit: ConsistencyAudit;
  readonly #view: View;
  readonly #clock: Clock;
  readonly #cachedNames = new Set<string>();
  #onVisible: VisibleListener = () => undefined;

  constructor(view: View, clock: Clock) {
    this.#view = view;
    this.#clock = clock;
    this.visibility = new Visibility((sinceAcknowledgedMs, sinceSentMs) =>
      this.#onVisible(sinceAcknowledgedMs / 1000, sinceSentMs / 1000),
    );
    this.audit = new ConsistencyAudit({ view, clock });
    view.onAdvance((revision, epoch) => this.visibility.advanced(revision, epoch, clock.monotonicMs()));
  }

  /** There is one listener. */
  onVisible(listener: VisibleListener): void {
    this.#onVisible = listener;
  }

  /** The same store, whose acknowledged writes to cached namespaces are measured and sampled. */
  observed(store: Store): Store {
    return {
      ...store,
      write: async (token, operation, idempotencyKey) => {
        const sentMs = this.#clock.monotonicMs();
        const shown = this.visibility.appliedRevision;
        const written = await store.write(token, operation, idempotencyKey);
        // What was shown before it was sent is the answer to an earlier request with the same Idempotency-Key.
        if (shown === null || written.revision > shown) this.#written(operation, written.revision, sentMs);
        return written;
      },
    };
  }

  report(): { readonly visibility: VisibilityReport; readonly audit: AuditReport } {
    return { visibility: this.visibility.report(this.#clock.monotonicMs()), audit: this.audit.report() };
  }

  /** Ends the timers of the audit. */
  stop(): void {
    this.audit.stop();
  }

  #written(operation: Operation, revision: Revision, sentMs: number): void {
    // Records of namespaces are published whatever their kind, but nobody reads them by their revision.
    if (operation.type !== 'put' && operation.type !== 'delete') return;
    const { namespace, key } = operation;
    if (!this.#isCached(namespace, key)) return;
    this.visibility.acknowledged({ revision, sentMs, acknowledgedMs: this.#clock.monotonicMs() });
    this.audit.acknowledged({ namespace, key, revision, deleted: operation.type === 'delete' });
  }

  /** Of a strict namespace the view shows nothing, ever. A name keeps its kind, so what was found once holds for good. */
  #isCached(namespace: string, key: string): boolean {
    if (this.#cachedNames.has(namespace)) return true;
    const held = this.#view.readHeld(namespace, key, null);
    if (held !== null && held.type !== 'hit') return false;
    if (this.#cachedNames.size < CACHED_NAMES_MAX) this.#cachedNames.add(namespace);
    return true;
  }
}
