import { setTimeout as sleep } from 'node:timers/promises';
import { formatReadLevel } from '@quorate/api';
import type { ChaosClient } from '../client.js';
import type { Operation } from '../operation.js';
import type { Workload } from '../workload.js';
import { hasConverged, judgeContent } from './content-judge.js';
import { UniqueNames } from './naming.js';

const CLIENTS = 7;
const WRITERS = 2;
const HOT = Array.from({ length: 12 }, (_, number) => `article-${number + 1}`);
/** Written before the faults and never again: nothing may keep a gateway from answering these. */
const PAGES = Array.from({ length: 20 }, (_, number) => `page-${number + 1}`);
const BOUNDS_MS = [200, 1_000, 5_000];
const DELETE_SHARE = 0.1;
/** Of an own write, at another gateway, by its token. */
const HAND_ON_SHARE = 0.5;
const CONVERGE_TIMEOUT_MS = 60_000;
const LOOK_MS = 50;

/**
 * A cached namespace through all gateways: writes over exactly one revision, reads of each level, and tokens that are handed from one gateway to
 * the other. What an answer of a cache proves to be broken is in `content-judge.ts`.
 */
export function content(run: string): Workload {
  const namespace = `chaos-content-${run}`;
  const names = new UniqueNames('content');
  /** By key: what the next write goes over; absent: to be read first. */
  const revisions = new Map<string, number | null>();
  /** By client: its newest token and the revision behind it. */
  const sessions = new Map<number, { readonly token: string; readonly head: number }>();

  const remember = (number: number, { token, head, revision }: Operation): void => {
    const known = Math.max(head ?? 0, revision ?? 0);
    if (token === null || known <= (sessions.get(number)?.head ?? 0)) return;
    sessions.set(number, { token, head: known });
  };

  const write = async (client: ChaosClient, number: number): Promise<void> => {
    const key = client.pick(HOT);
    let over = revisions.get(key);
    if (over === undefined) {
      const read = await readProven(client, namespace, key);
      if (read.outcome !== 'done') return;
      over = read.revision;
    }
    revisions.delete(key);
    const isDeletion = over !== null && client.random() < DELETE_SHARE;
    const operation = isDeletion
      ? await client.delete(namespace, key, { over })
      : await client.put(namespace, key, names.next(number), { over });
    if (operation.outcome === 'none' && operation.code !== 'PRECONDITION_FAILED') revisions.set(key, over);
    if (operation.outcome !== 'done') return;
    revisions.set(key, isDeletion ? null : operation.revision);
    remember(number, operation);
    if (client.random() >= HAND_ON_SHARE) return;
    const others = client.gateways.filter((gateway) => gateway !== operation.gateway);
    const gateway = client.pick(others.length > 0 ? others : client.gateways);
    remember(number, await readSession(client, namespace, key, operation.token, gateway));
  };

  return {
    name: 'content',
    clients: CLIENTS,
    async prepare(client) {
      await client.insist('a namespace', () => client.createNamespace(namespace, 'cached'));
      for (const key of PAGES) {
        await client.insist('a page', () => client.put(namespace, key, names.next(CLIENTS)));
      }
      for (const gateway of client.gateways) {
        for (const key of PAGES) {
          const choice = { gateway, action: 'first look' };
          const look = async (): Promise<Operation> => {
            const operation = await client.get(namespace, key, 'content', choice);
            return operation.value === null ? { ...operation, outcome: 'none' } : operation;
          };
          await client.insist(`${key} in the cache of gateway ${gateway}`, look);
        }
      }
    },
    async step(client, number) {
      if (number < WRITERS) return write(client, number);
      const kind = client.random();
      const key = client.pick(HOT);
      const session = sessions.get(number);
      if (kind < 0.3) await client.get(namespace, client.pick(PAGES), 'content', { action: 'page' });
      else if (kind < 0.6) remember(number, await client.get(namespace, key, 'content'));
      else if (kind < 0.75) {
        const level = { level: 'bounded', ms: client.pick(BOUNDS_MS) } as const;
        await client.get(namespace, key, 'content', { level, action: formatReadLevel(level) });
      } else if (kind < 0.95 && session !== undefined) {
        remember(number, await readSession(client, namespace, key, session.token));
      } else remember(number, await readProven(client, namespace, key));
    },
    async finish(client) {
      const deadlineMs = performance.now() + CONVERGE_TIMEOUT_MS;
      for (const key of [...HOT, ...PAGES]) {
        const proven = await client.attempt(() => readProven(client, namespace, key, 'final get'));
        if (proven !== null) await converge(client, namespace, proven, deadlineMs);
      }
    },
    judge: judgeContent,
  };
}

/** Looks at each cache until it shows what was proven, or the time is up. */
async function converge(
  client: ChaosClient,
  namespace: string,
  proven: Operation,
  deadlineMs: number,
): Promise<void> {
  for (const gateway of client.gateways) {
    for (;;) {
      const look = await client.get(namespace, proven.key, 'content', { gateway, action: 'final look' });
      if (hasConverged(look, proven) || performance.now() > deadlineMs) break;
      await sleep(LOOK_MS);
    }
  }
}

function readSession(
  client: ChaosClient,
  namespace: string,
  key: string,
  token: string | null,
  gateway?: number,
): Promise<Operation> {
  const choice = { level: { level: 'session' }, action: 'session', token, gateway } as const;
  return client.get(namespace, key, 'content', choice);
}

function readProven(client: ChaosClient, namespace: string, key: string, action = 'get'): Promise<Operation> {
  return client.get(namespace, key, 'strict', { level: { level: 'linearizable' }, action });
}
