import type { StoreRequest, StoreResponse } from '@quorate/api';
import { QuorateError } from '@quorate/api';
import { encodeFeedMessage } from '@quorate/feed';
import { revision } from '@quorate/kv';
import { memberListHash } from '@quorate/api';
import { type FeedSubscriber, LinkServer } from '@quorate/link';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { QuorateClient } from './client.js';
import { type ClusterDescription, type StoreLinks, connectNearCache, connectStore } from './link.js';

const keys = { gateway: new Uint8Array(32).fill(1) };
const head = revision(4);
const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

interface Cluster {
  readonly servers: readonly LinkServer[];
  readonly subscribers: FeedSubscriber[];
  readonly links: StoreLinks;
  readonly description: ClusterDescription;
}

/** Two members on ephemeral ports; the second one leads. */
async function startCluster(answer: (request: StoreRequest) => StoreResponse): Promise<Cluster> {
  const subscribers: FeedSubscriber[] = [];
  // Ports are part of the member list, so they must be known before the list is hashed.
  const scratch = await Promise.all([1, 2].map(() => freePort()));
  const members = scratch.map((linkPort, index) => ({
    id: index + 1,
    host: '127.0.0.1',
    linkPort,
    healthPort: 1,
    incarnation: `000000000000000${index}`,
  }));
  const cluster = { clusterId: '00000000000000ff', epoch: 1, members };
  const servers = await Promise.all(
    members.map(async (member) => {
      const server = new LinkServer({
        cluster: { clusterId: cluster.clusterId, epoch: 1, memberListHash: memberListHash(members) },
        member,
        members,
        keys,
        onRequest: (_caller, request, _deadlineMs, respond) => {
          const follower = member.id === 1 && request.type !== 'status';
          respond(follower ? notLeader : answer(request));
        },
        onRaftMessage: () => undefined,
        onFeedSubscribe: (subscriber) => subscribers.push(subscriber),
      });
      await server.listen('127.0.0.1', member.linkPort);
      cleanups.push(() => server.close());
      return server;
    }),
  );
  const links = connectStore({ cluster, role: 'gateway', key: keys.gateway });
  cleanups.push(() => links.close());
  return { servers, subscribers, links, description: cluster };
}

const notLeader: StoreResponse = { type: 'failed', code: 'NOT_LEADER', message: '', details: { leader: 2 } };

async function freePort(): Promise<number> {
  const server = new LinkServer({
    cluster: { clusterId: '', epoch: 0, memberListHash: '' },
    member: { id: 1, incarnation: '' },
    members: [],
    keys,
    onRequest: () => undefined,
    onRaftMessage: () => undefined,
    onFeedSubscribe: () => undefined,
  });
  await server.listen('127.0.0.1', 0);
  const { port } = server;
  await server.close();
  return port;
}

function storeAnswer(request: StoreRequest): StoreResponse {
  switch (request.type) {
    case 'register':
      return { type: 'registered', clientId: 7 };
    case 'write':
      return request.token === 'admin'
        ? { type: 'written', revision: head, created: true, version: 1, createRevision: head, head }
        : { type: 'failed', code: 'FORBIDDEN', message: 'No.', details: {} };
    case 'get':
      return { type: 'entry', entry: null, kind: 'strict', head };
    case 'check':
      return {
        type: 'decision',
        decision: { allowed: false, revision: head, policies: [], reason: 'none' },
        head,
      };
    default:
      return { type: 'namespaces', records: [], head };
  }
}

describe('client over links', () => {
  it('writes, reads and checks through the leader, whichever member it asked first', async () => {
    const { links } = await startCluster(storeAnswer);
    const client = new QuorateClient({ store: links.client, token: 'admin' });
    expect(await client.put('n', 'k', new Uint8Array([1]))).toMatchObject({ type: 'written', revision: 4 });
    expect(await client.get('n', 'k')).toMatchObject({ entry: null, head: 4 });
    const check = {
      principal: { type: 'User', id: 'a' },
      action: 'read',
      resource: { type: 'Doc', id: 'b' },
      context: {},
    };
    expect(await client.check(check)).toEqual({ allowed: false, revision: 4, policies: [], reason: 'none' });
    expect(await client.namespaces()).toMatchObject({ records: [] });
    expect(links.client.leader).toBe(2);
  });

  it('rejects with the code and its effect', async () => {
    const { links } = await startCluster(storeAnswer);
    const client = new QuorateClient({ store: links.client });
    const forbidden = await client.delete('n', 'k').catch((error: unknown) => error);
    expect(forbidden).toBeInstanceOf(QuorateError);
    expect(forbidden).toMatchObject({ code: 'FORBIDDEN', effect: 'none' });
    // An answer that does not fit the request is a defect of ours, not a result.
    await expect(client.namespace('n')).rejects.toMatchObject({ code: 'INTERNAL' });
    await expect(client.status(9)).rejects.toMatchObject({ code: 'STORE_UNREACHABLE' });
  });

  it('refuses at once when no member can be reached', async () => {
    const { links, servers } = await startCluster(storeAnswer);
    const client = new QuorateClient({ store: links.client });
    await client.get('n', 'k');
    await Promise.all(servers.map((server) => server.close()));
    await vi.waitFor(() => expect(links.connections.some(({ open }) => open)).toBe(false));
    await expect(client.get('n', 'k')).rejects.toMatchObject({ code: 'STORE_UNREACHABLE', effect: 'none' });
  });

  it('follows the feed on one link, and on another one when that is lost', async () => {
    const { links, servers, subscribers } = await startCluster(storeAnswer);
    const received: number[] = [];
    const stop = links.subscribeFeed((bytes) => received.push(bytes[0] ?? -1));
    await vi.waitFor(() => expect(subscribers).toHaveLength(1));
    subscribers[0]?.push(new Uint8Array([1]));
    await vi.waitFor(() => expect(received).toEqual([1]));
    // Both members are open by now; the one that pushes is stopped.
    await vi.waitFor(() => expect(links.connections.every(({ open }) => open)).toBe(true));
    for (const server of servers) {
      if (subscribers.length === 1) await server.close();
      if (subscribers[0]?.open === false) break;
    }
    await vi.waitFor(() => expect(subscribers.filter(({ open }) => open)).toHaveLength(1), {
      timeout: 5_000,
    });
    subscribers.find(({ open }) => open)?.push(new Uint8Array([2]));
    await vi.waitFor(() => expect(received).toEqual([1, 2]));
    stop();
    subscribers.find(({ open }) => open)?.push(new Uint8Array([3]));
    // An answer that comes after the push, over the same link or after it.
    await new QuorateClient({ store: links.client }).namespaces();
    expect(received).toEqual([1, 2]);
  });

  it('connectNearCache: reads over links of its own, follows the feed, and closes both', async () => {
    const feedKey = new Uint8Array(32).fill(5);
    const at = revision(7);
    const entry = {
      namespace: 'n',
      key: 'k',
      value: new Uint8Array([1]),
      revision: at,
      version: 1,
      createRevision: at,
    };
    const record = {
      name: 'n',
      kind: 'cached',
      deleted: false,
      revision: head,
      createRevision: head,
      readers: null,
    } as const;
    const { subscribers, description } = await startCluster((request) => {
      switch (request.type) {
        case 'feedKey':
          return { type: 'feedKey', key: feedKey };
        case 'resync':
          return { type: 'resynced', epoch: 1, revision: at, namespaces: [record] };
        case 'probe':
          return { type: 'probed', epoch: 1, head: at, published: at };
        case 'fill':
          return { type: 'filled', epoch: 1, revision: at, entry };
        default:
          return storeAnswer(request);
      }
    });
    const near = connectNearCache({ cluster: description, key: keys.gateway, bearerToken: 'admin' });
    cleanups.push(() => near.close());
    await near.ready();
    const read = await near.read('n', 'k', { level: 'linearizable' });
    expect(read).toMatchObject({ entry, revision: 7, level: 'linearizable' });
    expect(near.get('n', 'k')).toMatchObject({ type: 'hit', entry, revision: 7 });
    await vi.waitFor(() => expect(subscribers).toHaveLength(1));
    const changes = [{ type: 'delete', namespace: 'n', key: 'k', revision: revision(8) } as const];
    const batch = { epoch: 1, previous: at, revision: revision(8), changes };
    subscribers[0]?.push(encodeFeedMessage(feedKey, { clusterId: description.clusterId, batch }));
    await vi.waitFor(() =>
      expect(near.get('n', 'k')).toMatchObject({ type: 'hit', entry: null, revision: 8 }),
    );
    expect(await near.client.put('n', 'k', new Uint8Array([2]))).toMatchObject({ revision: 4 });
    await near.close();
    await vi.waitFor(() => expect(subscribers[0]?.open).toBe(false));
    expect(near.get('n', 'k')).toEqual({ type: 'notReady' });
  });
});
