import type { ConsistencyAnswer } from '@quorate/api';
import { jsonAnswer, type Answer } from '../http/answer.js';
import { sawQuorum, type View } from '../store/store.js';
import type { ConsistencyMonitor } from './consistency-monitor.js';

/** What this gateway knows of its own consistency. Asks nobody, so it is answered without a quorum too. */
export function consistencyAnswer(view: View, monitor: ConsistencyMonitor): Answer {
  const status = view.status();
  const { state, epoch, revision, lag, stalenessMs, counters } = status;
  const { hits, misses, fallbacks, gaps, resyncs } = counters;
  const { visibility, audit } = monitor.report();
  const answer = {
    cache: { state, epoch, revision, lag, stalenessMs, quorum: sawQuorum(status) },
    visibility,
    audit,
    reads: monitor.reads.all,
    stalenessServed: monitor.reads.stalenessServed,
    counters: { hits, misses, fallbacks, gaps, resyncs },
  } satisfies ReadonlyDeep<ConsistencyAnswer>;
  return jsonAnswer(200, {}, answer);
}

/** The schema's types are written to; what is reported is not. */
type ReadonlyDeep<Type> = { readonly [Key in keyof Type]: ReadonlyDeep<Type[Key]> };
