// The load generator: a process of its own, told what to do by ./generator.ts over IPC.
import { setTimeout as sleep } from 'node:timers/promises';
import { connectAdapter } from './adapters/connect.js';
import type { Adapter } from './adapters/adapter.js';
import type { Answers, Command, Commands } from './generator.js';
import { Histogram } from './histogram.js';
import { cpuSecondsOf, watchNoise } from './measure.js';
import { Values } from './values.js';

/** After a failure a client waits, so that refusals do not count as load. */
const FAILURE_PAUSE_MS = 10;
const STOP_TIMEOUT_MS = 5_000;
const SETTLE_MS = 500;
/** Above all stamps of values that were made ahead. */
const FIRST_STAMP = 1_000_000;
const LOAD_FAILURES_MAX = 1_000;

let adapter: Adapter | null = null;

function connected(): Adapter {
  if (adapter === null) throw new Error('not connected');
  return adapter;
}

function operationOf(name: Commands['run']['operation']): (key: number) => Promise<unknown> {
  const operation = connected().operations[name];
  if (operation === undefined) throw new Error(`this client has no ${name}`);
  return operation;
}

function reasonOf(error: unknown): string {
  return error instanceof Error
    ? `${'code' in error ? `${String(error.code)}: ` : ''}${error.message}`
    : String(error);
}

type Handlers = { readonly [Name in keyof Commands]: (command: Commands[Name]) => Promise<Answers[Name]> };

const handlers: Handlers = {
  connect: async ({ client, target, valueBytes }) => {
    adapter = await connectAdapter(client, target, new Values(valueBytes));
    return {};
  },

  close: async () => {
    await adapter?.close();
    adapter = null;
    return {};
  },

  load: async ({ from, to, clients, operation }) => {
    const load = operation === undefined ? connected().load : operationOf(operation);
    let [next, failures] = [from, 0];
    const startedMs = performance.now();
    const worker = async (): Promise<void> => {
      for (let key = next++; key < to; key = next++) {
        for (;;) {
          try {
            await load(key);
            break;
          } catch (error) {
            failures += 1;
            if (failures > LOAD_FAILURES_MAX) throw error;
            await sleep(FAILURE_PAUSE_MS);
          }
        }
      }
    };
    await Promise.all(Array.from({ length: clients }, worker));
    return { failures, seconds: (performance.now() - startedMs) / 1_000 };
  },

  run: async ({ operation, clients, warmMs, measureMs, keys, serverPids, ownPids }) => {
    const perform = operationOf(operation);
    const latencies = new Histogram();
    const failures: Record<string, number> = {};
    let [isMeasuring, next] = [false, 0];
    const end = new AbortController();
    const client = async (): Promise<void> => {
      while (!end.signal.aborted) {
        next = (next + 1) % keys;
        const startedMs = performance.now();
        try {
          await perform(next);
          if (isMeasuring) latencies.add((performance.now() - startedMs) * 1_000);
        } catch (error) {
          const reason = reasonOf(error);
          if (isMeasuring) failures[reason] = (failures[reason] ?? 0) + 1;
          await sleep(FAILURE_PAUSE_MS);
        }
      }
    };
    const running = Promise.all(Array.from({ length: clients }, client));
    await sleep(warmMs);
    const noise = watchNoise([...ownPids, ...serverPids, process.pid]);
    const [serversBefore, cpuBefore, startedMs] = [
      cpuSecondsOf(serverPids),
      process.cpuUsage(),
      performance.now(),
    ];
    isMeasuring = true;
    await sleep(measureMs);
    isMeasuring = false;
    const seconds = (performance.now() - startedMs) / 1_000;
    const cpu = process.cpuUsage(cpuBefore);
    const serverCpuSeconds = cpuSecondsOf(serverPids) - serversBefore;
    const measured = noise();
    end.abort();
    await Promise.race([running, sleep(STOP_TIMEOUT_MS)]);
    return {
      operations: latencies.total,
      seconds,
      p50Us: latencies.quantileUs(0.5),
      p99Us: latencies.quantileUs(0.99),
      serverCpuSeconds,
      clientCpuSeconds: (cpu.user + cpu.system) / 1e6,
      failures,
      ...measured,
    };
  },

  watch: async ({ ratePerSecond, count, keys }) => {
    const { putStamped, watch, readStamp } = connected();
    if (putStamped === undefined) throw new Error('this client writes no stamps');
    const [sentMs, acknowledgedMs, seenMs] = [
      new Map<number, number>(),
      new Map<number, number>(),
      new Map<number, number>(),
    ];
    const see = (stamp: number, atMs: number): void => {
      if (!seenMs.has(stamp)) seenMs.set(stamp, atMs);
    };
    await watch?.(keys, see);
    // What a cache does not hold yet it would have to fetch.
    for (let key = 0; key < keys; key += 1) await readStamp?.(key);
    await sleep(SETTLE_MS);
    const startMs = performance.now();
    const under = Array.from({ length: count }, async (_, number) => {
      const stamp = FIRST_STAMP + number;
      await sleep(Math.max(0, startMs + (number * 1_000) / ratePerSecond - performance.now()));
      sentMs.set(stamp, performance.now());
      await putStamped(number % keys, stamp);
      acknowledgedMs.set(stamp, performance.now());
      if (watch !== undefined || readStamp === undefined) return;
      while ((await readStamp(number % keys)) < stamp);
      see(stamp, performance.now());
    });
    const failed = (await Promise.allSettled(under)).filter(({ status }) => status === 'rejected').length;
    await sleep(2 * SETTLE_MS);
    const fromAcknowledgedUs: number[] = [];
    const fromSentUs: number[] = [];
    for (const [stamp, acknowledged] of acknowledgedMs) {
      const seen = seenMs.get(stamp);
      if (seen === undefined) continue;
      fromAcknowledgedUs.push((seen - acknowledged) * 1_000);
      fromSentUs.push((seen - (sentMs.get(stamp) ?? NaN)) * 1_000);
    }
    return {
      failed,
      missing: acknowledgedMs.size - fromAcknowledgedUs.length,
      fromAcknowledgedUs,
      fromSentUs,
    };
  },

  probe: async ({ operation, limitMs }) => {
    const startedMs = performance.now();
    const limit = new AbortController();
    const late = sleep(limitMs, 'no answer within the limit', { signal: limit.signal });
    late.catch(() => undefined);
    const answer = await Promise.race([operationOf(operation)(1).then(() => 'ok', reasonOf), late]);
    limit.abort();
    return { ms: performance.now() - startedMs, answer };
  },
};

async function perform(command: Command): Promise<Answers[keyof Answers]> {
  const handler = handlers[command.type] as (of: Command) => Promise<Answers[keyof Answers]>;
  return handler(command);
}

process.on('message', ({ id, command }: { id: number; command: Command }) => {
  perform(command).then(
    (answer) => process.send?.({ id, answer }),
    (error: unknown) => process.send?.({ id, error: error instanceof Error ? error.stack : String(error) }),
  );
});
// The one who gives the orders is gone.
process.on('disconnect', () => process.exit(0));
