import { LOG_START } from './log.js';
import { Raft, type InstallResult, type RaftConfig } from './raft.js';
import {
  logIndex,
  memberId,
  term,
  type HardState,
  type LogEntry,
  type Message,
  type Ready,
  type SnapshotOffered,
  type SnapshotPoint,
} from './types.js';

/** What a crash leaves of a member in a test. */
export interface TestDisk {
  hardState: HardState;
  entries: LogEntry[];
  /** The log begins behind it; from the start unless said. */
  base?: SnapshotPoint;
  snapshot?: SnapshotPoint | null;
}

/** One member in a test: the core, a disk that forgets what was not synced, and the driver's duties done by hand. */
export class TestMember {
  raft: Raft;
  durable: TestDisk;
  readonly pending: { ready: Ready; durable: boolean }[] = [];
  /** What was handed out for applying in this life, in order; what a snapshot stands for is not among it. */
  readonly applied: LogEntry[] = [];
  /** What a leader offered last. */
  offered: SnapshotOffered | null = null;
  readonly confirmed: { id: number; index: number }[] = [];
  readonly rejected: number[] = [];

  constructor(
    readonly config: RaftConfig,
    durable: TestDisk,
  ) {
    this.durable = durable;
    this.raft = this.#start();
  }

  #start(): Raft {
    const { hardState, entries, base = LOG_START, snapshot = null } = this.durable;
    return new Raft(this.config, { hardState, base, entries, snapshot });
  }

  restart(): void {
    this.pending.length = 0;
    this.applied.length = 0;
    this.offered = null;
    this.raft = this.#start();
  }

  /** Its folder is lost; another one was formatted in its place. */
  wipe(recovery: number): void {
    this.durable = { hardState: { ...EMPTY, recovery }, entries: [] };
    this.restart();
  }

  /** Stores a snapshot of all that was applied. */
  snapshot(): SnapshotPoint {
    const index = this.raft.appliedIndex;
    const point = { index, term: this.raft.termAt(index) ?? term(0) };
    this.durable.snapshot = point;
    this.raft.snapshotStored(point);
    return point;
  }

  /** Gives up entries up to `index`, in memory and on disk. */
  compact(index: number): void {
    this.raft.compact(logIndex(index));
    const { entries, base = LOG_START } = this.durable;
    const last = entries[index - base.index - 1];
    if (last === undefined) return;
    this.durable.entries = entries.slice(index - base.index);
    this.durable.base = { index: last.index, term: last.term };
  }

  /** The first half of an installation: the file is durable, the core does not know. */
  storeFile(point: SnapshotPoint): void {
    if (point.index > (this.durable.snapshot?.index ?? 0)) this.durable.snapshot = point;
  }

  install(point: SnapshotPoint): InstallResult {
    this.storeFile(point);
    return this.raft.installSnapshot(point);
  }

  /** Takes one Ready; its messages are returned, its writes wait for `sync`. */
  process(): { ready: Ready; sent: readonly Message[] } | null {
    const ready = this.raft.ready();
    if (ready === null) return null;
    this.applied.push(...ready.committed);
    this.confirmed.push(...ready.readsConfirmed);
    this.offered = ready.snapshotOffered ?? this.offered;
    for (const id of ready.readsRejected) this.rejected.push(id);
    this.pending.push({ ready, durable: !ready.mustSync && ready.hardState === null });
    return { ready, sent: [...ready.messages, ...this.#release()] };
  }

  /** Makes the oldest `count` waiting writes durable and returns the messages that waited for them. */
  sync(count = Number.MAX_SAFE_INTEGER): Message[] {
    for (const write of this.pending.slice(0, count)) {
      if (write.durable) continue;
      write.durable = true;
      const { hardState, reset, entries } = write.ready;
      if (hardState !== null) this.durable.hardState = hardState;
      if (reset !== null) {
        this.durable.base = reset;
        this.durable.entries = [];
      }
      const first = entries[0];
      if (first !== undefined) {
        const kept = this.durable.entries.filter((entry) => entry.index < first.index);
        this.durable.entries = [...kept, ...entries];
      }
    }
    return this.#release();
  }

  #release(): Message[] {
    const out: Message[] = [];
    while (this.pending[0]?.durable) {
      const { ready } = this.pending[0];
      this.pending.shift();
      this.raft.persisted(ready.number);
      out.push(...ready.messagesAfterSync);
    }
    return out;
  }
}

export const EMPTY: HardState = { term: term(0), vote: null, commit: logIndex(0), recovery: 0 };

/** Entries from a list of terms: [1, 1, 2] is entries 1..3 of terms 1, 1 and 2, or those behind `base`. */
export function logOf(terms: readonly number[], base = 0): LogEntry[] {
  return terms.map((t, i) => ({
    index: logIndex(base + i + 1),
    term: term(t),
    kind: 'command',
    payload: new TextEncoder().encode(`c${base + i + 1}.${t}`),
  }));
}

/** Members connected by one ordered queue of messages that a test delivers or drops. */
export class TestCluster {
  readonly members: TestMember[];
  readonly network: Message[] = [];
  /** Ticks that a member adds to its next election timeouts, by id; 0 when not said. */
  readonly spreads = new Map<number, number>();

  constructor(
    count: number,
    overrides: Partial<RaftConfig> = {},
    logs: Record<number, readonly number[]> = {},
  ) {
    const ids = Array.from({ length: count }, (_, i) => memberId(i + 1));
    this.members = ids.map((self) => {
      const terms = logs[self] ?? [];
      const electionTimeoutTicks = overrides.electionTimeoutTicks ?? 10;
      const config = {
        self,
        members: ids,
        electionTimeoutTicks,
        heartbeatTicks: 1,
        // The half keeps the core's rounding down on the tick that was asked for.
        random: () => {
          const spread = this.spreads.get(self);
          return spread === undefined ? 0 : (spread + 0.5) / electionTimeoutTicks;
        },
        ...overrides,
      };
      const hardState = { term: term(terms.at(-1) ?? 0), vote: null, commit: logIndex(0), recovery: 0 };
      return new TestMember(config, { hardState, entries: logOf(terms) });
    });
  }

  member(id: number): TestMember {
    const found = this.members[id - 1];
    if (found === undefined) throw new Error(`no member ${id}`);
    return found;
  }
  raft(id: number): Raft {
    return this.member(id).raft;
  }

  /** Processes, syncs and delivers until nothing moves; `drop` says which messages are lost. */
  stabilize(drop: (message: Message) => boolean = () => false, only?: readonly number[]): void {
    for (let round = 0; round < 10_000; round++) {
      let moved = false;
      for (const member of this.members) {
        if (only !== undefined && !only.includes(member.config.self)) continue;
        const processed = member.process();
        if (processed !== null) {
          moved = true;
          this.network.push(...processed.sent);
        }
        if (member.pending.length > 0) {
          moved = true;
          this.network.push(...member.sync());
        }
      }
      for (const message of this.network.splice(0)) {
        moved = true;
        if (only !== undefined && !only.includes(message.to)) continue;
        if (!drop(message)) this.raft(message.to).step(message);
      }
      if (!moved) return;
    }
    throw new Error('did not stabilize');
  }

  elect(id: number, only?: readonly number[]): void {
    this.raft(id).campaign();
    this.stabilize(undefined, only);
  }

  tickAll(count: number, drop?: (message: Message) => boolean): void {
    for (let i = 0; i < count; i++) {
      for (const member of this.members) member.raft.tick();
      this.stabilize(drop);
    }
  }
}
