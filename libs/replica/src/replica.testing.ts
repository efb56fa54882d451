import { revision, type Operation } from '@quorate/kv';
import { memberId, type MemberId, type Message } from '@quorate/raft';
import { formatWal, openWal } from '@quorate/wal';
import { SimulatedDisk } from '@quorate/wal/testing';
import { hashToken, type StoreRequest, type StoreResponse } from '@quorate/api';
import { Replica, type ReplicaConfig, type ReplicaEnvironment } from './replica.js';
import { RequestHandler, type RequestPolicies } from './requests.js';
import type { Divergence } from './state-hashes.js';

const CLUSTER = { clusterId: '0123456789abcdef', epoch: 1 };
const policies: RequestPolicies = {
  adminTokenHash: hashToken('right'),
  decide: (machine) => ({
    allowed: false,
    revision: machine.namespaceRevision('access'),
    policies: [],
    reason: 'no policy',
  }),
  validateAccessChange: (_, operation) =>
    operation.type === 'put' && operation.value.length === 0
      ? { type: 'failed', code: 'INVALID_POLICY', message: 'empty', details: {} }
      : null,
  feedKey: new Uint8Array(32),
};

/** Members in one thread with a task queue for everything that happens later, and a network that can be cut. */
export class World {
  nowMs = 0;
  readonly tasks: (() => void)[] = [];
  readonly members: { replica: Replica; handler: RequestHandler; disk: SimulatedDisk; sent: Message[] }[];
  readonly cut = new Set<number>();
  /** While true, no fsync ends. */
  holdSyncs = false;
  readonly heldSyncs: (() => void)[] = [];
  fatal: Error | null = null;
  readonly divergences: Divergence[] = [];
  /** By member, as it keeps it over a restart. */
  readonly divergenceOf = new Map<MemberId, Divergence>();
  readonly #config: Partial<ReplicaConfig>;

  readonly ids: readonly MemberId[];
  #lost: ((message: Message) => boolean) | null = null;

  constructor(count: number, config: Partial<ReplicaConfig> = {}) {
    this.#config = config;
    this.ids = Array.from({ length: count }, (_, i) => memberId(i + 1));
    this.members = this.ids.map((self) => {
      const schedule = (task: () => void): void =>
        void (this.holdSyncs ? this.heldSyncs : this.tasks).push(task);
      const disk = new SimulatedDisk({ random: () => 0.5, schedule });
      formatWal(disk, '/data', { ...CLUSTER, memberId: self, incarnation: '00000000000000aa' });
      return this.#open(self, disk);
    });
  }

  #open(self: MemberId, disk: SimulatedDisk): World['members'][number] {
    // Small segments, so that compaction has some to remove.
    const opened = openWal(disk, '/data', { segmentBytesMax: 2_000 });
    const storage = { ...opened, divergence: this.divergenceOf.get(self) ?? null };
    const sent: Message[] = [];
    const config = { self, members: this.ids, ...CLUSTER, ...this.#config };
    const environment = this.#environment(self, sent);
    const replica = new Replica(config, environment, storage, {
      diverged: (divergence) => {
        this.divergences.push(divergence);
        this.divergenceOf.set(self, divergence);
      },
    });
    return { replica, handler: new RequestHandler(replica, policies), disk, sent };
  }

  #environment(self: MemberId, sent: Message[]): ReplicaEnvironment {
    return {
      send: (message: Message) => {
        sent.push(message);
        if (this.cut.has(message.from) || this.cut.has(message.to) || this.#lost?.(message)) return;
        this.tasks.push(() => this.members[message.to - 1]!.replica.receive(message));
      },
      peers: () =>
        this.ids
          .filter((id) => id !== self)
          .map((id) => ({ id, reachable: !this.cut.has(id) && !this.cut.has(self), sinceMs: 0 })),
      defer: (task: () => void) => void this.tasks.push(task),
      random: () => self / 10,
      wallClockMs: () => this.nowMs,
      monotonicMs: () => this.nowMs,
      fatal: (error: Error) => {
        this.fatal = error;
      },
    };
  }

  /** The member's process ends and starts again on the same disk. */
  restart(id: number): void {
    const old = this.members[id - 1]!;
    old.replica.stop();
    old.disk.kill();
    this.members[id - 1] = this.#open(memberId(id), old.disk);
  }

  /** Loses these messages until released. */
  hold(lost: (message: Message) => boolean): { release: () => void } {
    this.#lost = lost;
    return { release: () => void (this.#lost = null) };
  }

  settle(): void {
    this.settleUntil(() => false);
  }
  settleUntil(done: () => boolean): void {
    for (let i = 0; this.tasks.length > 0 && !done(); i++) {
      if (i > 100_000) throw new Error('does not settle');
      this.tasks.shift()?.();
    }
  }
  pass(ms: number): void {
    for (let t = 0; t < ms; t += 100) {
      this.nowMs += 100;
      for (const { replica } of this.members) replica.tick();
      this.settle();
    }
  }
  ask(
    member: number,
    request: StoreRequest,
    role: 'gateway' | 'client' = 'gateway',
  ): { answer: StoreResponse | null } {
    const box: { answer: StoreResponse | null } = { answer: null };
    this.members[member - 1]!.handler.handle(role, request, 2000, (response) => {
      if (box.answer !== null) throw new Error('answered twice');
      box.answer = response;
    });
    this.settle();
    return box;
  }
}

export const put = (key: string, value = 'v', namespace = 'limits'): Operation => ({
  type: 'put',
  namespace,
  key,
  value: new TextEncoder().encode(value),
  condition: { type: 'none' },
  ifNamespaceRevision: null,
});
let sequence = 0;
export const write = (
  operation: Operation,
  clientId: number,
  token = 'right',
  idempotencyKey: string | null = null,
): StoreRequest => ({
  type: 'write',
  token,
  operation,
  idempotencyKey,
  registration: { clientId, sequence: ++sequence, completedThrough: sequence - 1 },
});
export const changes = (after: number, minRevision: number): StoreRequest => ({
  type: 'changes',
  after: revision(after),
  minRevision: revision(minRevision),
  bytesMax: 1000,
});
export const get = (key: string, token = 'right'): StoreRequest => ({
  type: 'get',
  token,
  namespace: 'limits',
  key,
});

export function started(count = 3, config: Partial<ReplicaConfig> = {}): { world: World; client: number } {
  const world = new World(count, config);
  world.pass(2500);
  const registered = world.ask(1, { type: 'register' }).answer;
  if (registered?.type !== 'registered') throw new Error(`not registered: ${JSON.stringify(registered)}`);
  world.ask(1, write({ type: 'createNamespace', namespace: 'limits', kind: 'strict' }, registered.clientId));
  return { world, client: registered.clientId };
}
