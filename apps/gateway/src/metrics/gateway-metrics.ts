import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';
import { LIMITS_MS } from '../consistency/distribution.js';
import type { ConsistencyMonitor } from '../consistency/consistency-monitor.js';
import { sawQuorum, type View, type ViewStatus } from '../store/store.js';

const DURATION_BUCKETS_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5];
/** Around half a second while all is well, and upwards without end while the store is away. */
const STALENESS_BUCKETS_SECONDS = [0.05, 0.1, 0.25, 0.5, 0.75, 1, 2, 3, 10, 60, 600, 3600];
const STATES = ['empty', 'syncing', 'live', 'stale'] as const;

/** Every metric of a gateway. Requests are counted as they end; the view is asked when somebody scrapes. */
export class GatewayMetrics {
  readonly registry = new Registry();
  private readonly requests: Counter<'transport' | 'route' | 'status'>;
  private readonly durations: Histogram<'transport' | 'route'>;

  constructor(view: View, monitor: ConsistencyMonitor) {
    const registers = [this.registry];
    collectDefaultMetrics({ register: this.registry });
    this.requests = new Counter({
      name: 'quorate_gateway_requests_total',
      help: 'Requests answered, by transport (http or nats), route and status.',
      labelNames: ['transport', 'route', 'status'],
      registers,
    });
    this.durations = new Histogram({
      name: 'quorate_gateway_request_duration_seconds',
      help: 'Time from a request to its answer.',
      labelNames: ['transport', 'route'],
      buckets: DURATION_BUCKETS_SECONDS,
      registers,
    });
    this.observeView(view);
    this.observeConsistency(monitor);
  }

  /** One request was answered. `route` is the pattern, never the path: label values stay few. */
  recordRequest(transport: 'http' | 'nats', route: string, status: number, seconds: number): void {
    this.requests.inc({ transport, route, status });
    this.durations.observe({ transport, route }, seconds);
  }

  private observeConsistency(monitor: ConsistencyMonitor): void {
    const visibility = new Histogram({
      name: 'quorate_gateway_visibility_seconds',
      help: 'Time until an own write is shown by the cache: since it was acknowledged (at most what passed since the commit), and since it was sent (at least that).',
      labelNames: ['since'],
      buckets: LIMITS_MS.map((ms) => ms / 1000),
      registers: [this.registry],
    });
    monitor.onVisible((sinceAcknowledgedSeconds, sinceSentSeconds) => {
      visibility.observe({ since: 'acknowledged' }, sinceAcknowledgedSeconds);
      visibility.observe({ since: 'sent' }, sinceSentSeconds);
    });
    const served = new Histogram({
      name: 'quorate_gateway_staleness_served_seconds',
      help: 'Staleness bound that answers of the cache below linearizable stated.',
      buckets: STALENESS_BUCKETS_SECONDS,
      registers: [this.registry],
    });
    monitor.reads.onServed((seconds) => served.observe(seconds));
    this.registry.registerMetric(auditCounter(monitor));
    this.registry.registerMetric(readCounter(monitor));
  }

  private observeView(view: View): void {
    const gauge = (name: string, help: string, read: (status: ViewStatus) => number): void =>
      this.registry.registerMetric(
        new Gauge({
          name,
          help,
          registers: [],
          collect() {
            this.set(read(view.status()));
          },
        }),
      );
    gauge(
      'quorate_gateway_cache_watermark_revision',
      'Revision that the cache has applied; 0: never synced.',
      ({ revision }) => revision ?? 0,
    );
    gauge(
      'quorate_gateway_cache_staleness_seconds',
      'Proven bound of the staleness now; NaN: unknown.',
      ({ stalenessMs }) => (stalenessMs === null ? Number.NaN : stalenessMs / 1000),
    );
    gauge(
      'quorate_gateway_cache_lag_revisions',
      'Revisions between the newest head that a probe told and what the cache has applied; NaN: never probed.',
      ({ lag }) => lag ?? Number.NaN,
    );
    gauge('quorate_gateway_quorum', '1: a quorum answered this gateway within the last 3 s.', (status) =>
      sawQuorum(status) ? 1 : 0,
    );
    gauge('quorate_gateway_cache_entries', 'Entries held, absent ones included.', ({ entries }) => entries);
    gauge('quorate_gateway_cache_bytes', 'Keys and values held.', ({ bytes }) => bytes);
    this.registry.registerMetric(stateGauge(view));
    this.registry.registerMetric(eventCounter(view));
  }
}

function stateGauge(view: View): Gauge<'state'> {
  return new Gauge({
    name: 'quorate_gateway_cache_state',
    help: '1 for the state that the cache is in.',
    labelNames: ['state'],
    registers: [],
    collect() {
      const now = view.status().state;
      for (const state of STATES) {
        this.set({ state }, state === now ? 1 : 0);
      }
    },
  });
}

/** The view counts for itself; its numbers are shown as they are, nested ones by their path. */
function eventCounter(view: View): Counter<'event'> {
  return new Counter({
    name: 'quorate_gateway_cache_events_total',
    help: 'What the cached view counted, by event.',
    labelNames: ['event'],
    registers: [],
    collect() {
      this.reset();
      for (const [event, count] of flatCounters(view.status().counters)) {
        this.inc({ event }, count);
      }
    },
  });
}

function auditCounter({ audit }: ConsistencyMonitor): Counter<'window' | 'result'> {
  return new Counter({
    name: 'quorate_gateway_audit_checks_total',
    help: 'Sampled own writes that were looked for in the cache, by time since they were acknowledged and what was found.',
    labelNames: ['window', 'result'],
    registers: [],
    collect() {
      this.reset();
      for (const { afterMs, results } of audit.report().windows) {
        for (const [result, count] of Object.entries(results)) {
          this.inc({ window: `${afterMs / 1000}s`, result }, count);
        }
      }
    },
  });
}

function readCounter({ reads }: ConsistencyMonitor): Counter<'level' | 'source'> {
  return new Counter({
    name: 'quorate_gateway_reads_total',
    help: 'Reads and lists of entries by the level that they had and by who answered: cache, store, or nobody (refused).',
    labelNames: ['level', 'source'],
    registers: [],
    collect() {
      this.reset();
      for (const [source, levels] of Object.entries(reads.all)) {
        for (const [level, count] of Object.entries(levels)) {
          this.inc({ level, source }, count);
        }
      }
    },
  });
}

/** {resyncs: {epoch: 2}} becomes [["resyncs_epoch", 2]]. */
export function flatCounters(counters: object, prefix = ''): [string, number][] {
  return Object.entries(counters).flatMap(([name, value]: [string, unknown]): [string, number][] => {
    if (typeof value === 'number') {
      return [[prefix + name, value]];
    }
    return typeof value === 'object' && value !== null ? flatCounters(value, `${prefix}${name}_`) : [];
  });
}
