import { Raft, type RaftConfig } from './raft.js';
import {
  logIndex,
  memberId,
  term,
  type HardState,
  type LogEntry,
  type Message,
  type Ready,
} from './types.js';

/** One member in a test: the core, a disk that forgets what was not synced, and the driver's duties done by hand. */
export class TestMember {
  raft: Raft;
  /** What a crash leaves. */
  durable: { hardState: HardState; entries: LogEntry[] };
  readonly pending: { ready: Ready; durable: boolean }[] = [];
  readonly applied: LogEntry[] = [];
  readonly confirmed: { id: number; index: number }[] = [];
  readonly rejected: number[] = [];

  constructor(
    readonly config: RaftConfig,
    durable: { hardState: HardState; entries: LogEntry[] },
  ) {
    this.durable = durable;
    this.raft = new Raft(config, { hardState: durable.hardState, entries: durable.entries });
  }

  restart(): void {
    this.pending.length = 0;
    this.applied.length = 0;
    this.raft = new Raft(this.config, { hardState: this.durable.hardState, entries: this.durable.entries });
  }

  /** Takes one Ready; its messages are returned, its writes wait for `sync`. */
  process(): { ready: Ready; sent: readonly Message[] } | null {
    const ready = this.raft.ready();
    if (ready === null) return null;
    this.applied.push(...ready.committed);
    this.confirmed.push(...ready.readsConfirmed);
    for (const id of ready.readsRejected) this.rejected.push(id);
    this.pending.push({ ready, durable: !ready.mustSync && ready.hardState === null });
    return { ready, sent: [...ready.messages, ...this.#release()] };
  }

  /** Makes the oldest `count` waiting writes durable and returns the messages that waited for them. */
  sync(count = Number.MAX_SAFE_INTEGER): Message[] {
    for (const write of this.pending.slice(0, count)) {
      if (write.durable) continue;
      write.durable = true;
      if (write.ready.hardState !== null) this.durable.hardState = write.ready.hardState;
      const first = write.ready.entries[0];
      if (first !== undefined) {
        const kept = this.durable.entries.slice(0, first.index - 1);
        this.durable.entries = [...kept, ...write.ready.entries];
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

export const EMPTY: HardState = { term: term(0), vote: null, commit: logIndex(0) };

/** Entries from a list of terms: [1, 1, 2] is entries 1..3 of terms 1, 1 and 2. */
export function logOf(terms: readonly number[]): LogEntry[] {
  return terms.map((t, i) => ({
    index: logIndex(i + 1),
    term: term(t),
    kind: 'command',
    payload: new TextEncoder().encode(`c${i + 1}.${t}`),
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
      const hardState = { term: term(terms.at(-1) ?? 0), vote: null, commit: logIndex(0) };
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
