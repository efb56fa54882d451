import type { MemberId, Raft } from '@quorate/raft';

/** How the wait of a proposal ended: it may be proposed or told the leader; its time is over; the member stops. */
export type HeldOutcome = 'ended' | 'expired' | 'stopped';

interface Held {
  readonly expiresMs: number;
  readonly callback: (outcome: HeldOutcome) => void;
}
interface ExpectedLeader {
  readonly to: MemberId;
  readonly expiresMs: number;
  readonly callback: (moved: boolean) => void;
}

/**
 * Who waits for leadership to move (P29): those that asked for it, and proposals that came in the meantime. The core moves it, or
 * gives up after an election timeout.
 */
export class Transfers {
  readonly #raft: Raft;
  readonly #nowMs: () => number;
  #held: Held[] = [];
  #expected: ExpectedLeader[] = [];

  constructor(raft: Raft, nowMs: () => number) {
    this.#raft = raft;
    this.#nowMs = nowMs;
  }

  get held(): number {
    return this.#held.length;
  }

  /** `callback` is called once, later. */
  hold(expiresMs: number, callback: (outcome: HeldOutcome) => void): void {
    this.#held.push({ expiresMs, callback });
  }

  /** Calls back with true when `to` leads, false when that was given up. */
  expectLeader(to: MemberId, expiresMs: number, callback: (moved: boolean) => void): void {
    this.#expected.push({ to, expiresMs, callback });
  }

  /** Looks whether something has come to an end. To be called after each change of the core, and at each tick. */
  look(): void {
    if (this.#held.length === 0 && this.#expected.length === 0) return;
    const { transferTarget, leader } = this.#raft;
    const nowMs = this.#nowMs();
    // Between leaders nothing is known yet: the new one says so within a moment, or nobody does in time.
    const isOpen = ({ to, expiresMs }: ExpectedLeader): boolean =>
      leader !== to && expiresMs > nowMs && (leader === null || transferTarget === to);
    const isOver = transferTarget === null && leader !== null;
    const waits = ({ expiresMs }: Held): boolean => !isOver && expiresMs > nowMs;
    const [expected, held] = [this.#expected, this.#held];
    this.#expected = expected.filter((one) => isOpen(one));
    this.#held = held.filter((one) => waits(one));
    for (const one of expected) if (!isOpen(one)) one.callback(leader === one.to);
    for (const one of held) if (!waits(one)) one.callback(one.expiresMs > nowMs ? 'ended' : 'expired');
  }

  stop(): void {
    const [held, expected] = [this.#held, this.#expected];
    this.#held = [];
    this.#expected = [];
    for (const { callback } of held) callback('stopped');
    for (const { to, callback } of expected) callback(this.#raft.leader === to);
  }
}
