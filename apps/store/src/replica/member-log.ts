import type { MemberCondition } from '@quorate/replica';
import type { Log } from '../log.js';

/** Tells in plain words what becomes of this member: one line for each change that an operator would want to know. */
export class MemberLog {
  #following: string | null = null;
  #quorum: boolean | null = null;
  #recovering = false;

  constructor(private readonly log: Log) {}

  /** Role, term or leader may have changed. Attempts at an election that lead nowhere are told once, not each time. */
  roleChanged({ role, term, leader, id }: MemberCondition): void {
    const now = leader === null ? 'nobody' : `${leader} in term ${term}`;
    if (now === this.#following) return;
    const led = this.#following?.startsWith(`${id} `) ?? false;
    this.#following = now;
    const fields = { role, term, leader };
    if (role === 'leader') this.log.info(`became leader of term ${term}`, fields);
    else if (leader !== null) this.log.info(`follows member ${leader}, the leader of term ${term}`, fields);
    else if (led) this.log.warn(`is no longer the leader; term ${term} has no leader yet`, fields);
    else this.log.info(`knows no leader in term ${term}`, fields);
  }

  /** Called at each tick. */
  recovering({ recovering, lastIndex }: MemberCondition): void {
    if (this.#recovering && !recovering)
      this.log.info('has everything that the others have, and takes part in full again', { lastIndex });
    this.#recovering = recovering;
  }

  /** Called at each tick. A quorum counts as won when a leader is known, as lost when the member refuses for want of one. */
  quorum(status: MemberCondition): void {
    const { quorum, leader, term } = status;
    if (quorum === this.#quorum || (quorum && leader === null)) return;
    const hadOne = this.#quorum === true;
    this.#quorum = quorum;
    if (quorum) {
      this.log.info('has a quorum: writes and strict reads are served', { term });
      return;
    }
    const unreachable = status.peers.filter((peer) => !peer.reachable).map((peer) => peer.id);
    const fields = { term, unreachable: unreachable.join(' ') };
    if (hadOne) this.log.warn('lost the quorum: writes and strict reads are refused', fields);
    else this.log.info('waits for a quorum', fields);
  }
}
