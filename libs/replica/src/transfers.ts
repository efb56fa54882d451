import type { MemberId, Raft } from '@quorate/raft';

/** How the wait of a proposal ended: it may be proposed or told the leader; its time is over; the member stops. */
export type HeldOutcome = 'ended' | 'expired' | 'stopped';

interface Held {
  readonly expiresMs: number;
  readonly callback: (outcome: HeldOutcome) => void;
}
/** Leadership moved; the target did not take it in time; it was never near enough to be offered it; it is no member. */
export type TransferOutcome = 'moved' | 'failed' | 'notReady' | 'unknownMember';

interface Asked {
  readonly to: MemberId;
  /** Until when the target may become ready. */
  readonly readyByMs: number;
  readonly expiresMs: number;
  begun: boolean;
  readonly callback: (outcome: TransferOutcome) => void;
}

/**
 * Who waits for leadership to move (P29): those that asked for it, and proposals that came in the meantime. The core moves it, or
 * gives up after an election timeout. A target that is not ready (just restarted, say, and not heard yet) is waited for here, where
 * it holds no proposal up.
 */
export class Transfers {
  readonly #raft: Raft;
  readonly #nowMs: () => number;
  #held: Held[] = [];
  #asked: Asked[] = [];

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

  /** Hands leadership to `to` as soon as it is ready. `callback` is called once. To be followed by a flush of the core. */
  begin(to: MemberId, deadlineMs: number, callback: (outcome: TransferOutcome) => void): void {
    const nowMs = this.#nowMs();
    const one = {
      to,
      readyByMs: nowMs + deadlineMs / 2,
      expiresMs: nowMs + deadlineMs,
      begun: false,
      callback,
    };
    this.#asked.push(one);
    this.look();
  }

  /** Looks whether something has come to an end, or can begin. To be called after each change of the core, and at each tick. */
  look(): void {
    if (this.#held.length === 0 && this.#asked.length === 0) return;
    const nowMs = this.#nowMs();
    const asked = this.#asked;
    this.#asked = [];
    for (const one of asked) {
      const outcome = this.#advance(one, nowMs);
      if (outcome === null) this.#asked.push(one);
      else one.callback(outcome);
    }
    const { transferTarget, leader } = this.#raft;
    const isOver = transferTarget === null && leader !== null;
    const waits = ({ expiresMs }: Held): boolean => !isOver && expiresMs > nowMs;
    const held = this.#held;
    this.#held = held.filter((one) => waits(one));
    for (const one of held) if (!waits(one)) one.callback(one.expiresMs > nowMs ? 'ended' : 'expired');
  }

  #advance(one: Asked, nowMs: number): TransferOutcome | null {
    const { to, begun } = one;
    if (this.#raft.leader === to) return 'moved';
    if (!begun && this.#raft.role === 'leader') {
      const result = this.#raft.transfer(to);
      if (result === 'unknownMember') return 'unknownMember';
      one.begun = result === 'started';
      // mark: a transfer waits for its target
      if (!one.begun) return nowMs < one.readyByMs ? null : 'notReady';
    }
    const { transferTarget, leader } = this.#raft;
    // Between leaders nothing is known yet: the new one says so within a moment, or nobody does in time.
    const isOpen = leader === null || transferTarget === to;
    return isOpen && nowMs < one.expiresMs ? null : 'failed';
  }

  stop(): void {
    const [held, asked] = [this.#held, this.#asked];
    this.#held = [];
    this.#asked = [];
    for (const { callback } of held) callback('stopped');
    for (const { to, callback } of asked) callback(this.#raft.leader === to ? 'moved' : 'failed');
  }
}
