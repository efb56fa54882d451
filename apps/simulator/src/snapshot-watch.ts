import type { Message, SnapshotPoint } from '@quorate/raft';
import type { World } from './world.js';

/** The requests of one transfer, as its member sends them. */
interface Transfer {
  readonly index: number;
  readonly term: number;
  leader: number;
  chunk: number;
  askedAgain: boolean;
  leaderChanged: boolean;
}

/** Looks at how a member fetches snapshots, and marks what is rare about it: random worlds must meet all of it. */
export class SnapshotWatch {
  readonly #world: World;
  #transfer: Transfer | null = null;

  constructor(world: World) {
    this.#world = world;
  }

  /** The member sends a message. */
  sent(message: Message): void {
    if (message.type !== 'snapshotChunkRequest') return;
    const { snapshotIndex: index, snapshotTerm: term, to: leader, chunk } = message;
    const transfer = this.#transfer;
    if (transfer === null || transfer.index !== index || transfer.term !== term || chunk < transfer.chunk) {
      this.#transfer = { index, term, leader, chunk, askedAgain: false, leaderChanged: false };
      return;
    }
    if (chunk > 0 && leader !== transfer.leader) transfer.leaderChanged = true;
    else if (chunk > 0 && chunk === transfer.chunk) transfer.askedAgain = true;
    Object.assign(transfer, { leader, chunk });
  }

  /** A snapshot of the member is durable: a fetched one, or one that it took. */
  durable({ index, term }: SnapshotPoint): void {
    const transfer = this.#transfer;
    if (transfer === null || transfer.index !== index || transfer.term !== term) return;
    this.#transfer = null;
    if (transfer.chunk === 0) return;
    this.#world.mark('a snapshot of several chunks was fetched');
    if (transfer.askedAgain) this.#world.mark('a snapshot was fetched although chunks were lost');
    if (transfer.leaderChanged) this.#world.mark('a snapshot was fetched from one leader after the other');
  }

  /** Is it in the middle of a transfer of several chunks? `appliedIndex` is how far it is itself. */
  isFetching(appliedIndex: number): boolean {
    const transfer = this.#transfer;
    return transfer !== null && transfer.chunk > 0 && transfer.index > appliedIndex;
  }

  /** The process ends, or the power goes; `appliedIndex` is how far it was. */
  stopped(appliedIndex: number): void {
    const isFetching = this.isFetching(appliedIndex);
    this.#transfer = null;
    if (isFetching) this.#world.mark('a member ended with a part of a fetched snapshot on its disk');
  }
}
