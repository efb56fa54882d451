import assert from 'node:assert/strict';
import { DecodeError, type SnapshotRestorer, type StateMachine } from '@quorate/kv';
import type { MemberId, Message, SnapshotPoint, Term } from '@quorate/raft';
import type { SnapshotFiles, SnapshotInfo, SnapshotWriter } from '@quorate/wal';
import { UNSYNCED_CHUNKS_MAX } from './snapshot-taker.js';

export interface ReceivedSnapshot {
  readonly info: SnapshotInfo;
  readonly machine: StateMachine;
}

export interface SnapshotReceiverContext {
  readonly self: MemberId;
  term(): Term;
  commitIndex(): number;
  send(message: Message): void;
  restorer(): SnapshotRestorer;
  received(snapshot: ReceivedSnapshot): void;
  failed(error: Error): void;
}

/** One transfer under way. */
interface Transfer {
  readonly point: SnapshotPoint;
  /** Who is asked; a new leader that offers the same point goes on where the old one stopped. */
  from: MemberId;
  readonly writer: SnapshotWriter;
  readonly restorer: SnapshotRestorer;
  nextChunk: number;
  /** Of the whole payload, as the first chunk said: chunks of other bytes are not mixed in. */
  digest: number | null;
  chunkCount: number | null;
  /** A chunk is being made durable, or the file is being finished: nothing is asked for. */
  isWriting: boolean;
  ticksWithoutChunk: number;
}

/** A request or its answer may be lost: it is asked again after so many ticks. */
const ASK_AGAIN_TICKS = 3;
/** Nothing came for so long: a newer snapshot is begun with instead. */
const STUCK_TICKS = 10;
/** Nobody answers any more: what is here is given up, so that it does not take room for ever. */
const GIVE_UP_TICKS = 600;

/**
 * Fetches a snapshot from the leader: one chunk is asked for at a time, and the next only when that is written, so that neither side holds
 * more than a chunk in memory and heartbeats pass in between (P24). Each chunk goes to the disk and into a new state machine.
 */
export class SnapshotReceiver {
  readonly #files: SnapshotFiles;
  readonly #context: SnapshotReceiverContext;
  #transfer: Transfer | null = null;

  constructor(files: SnapshotFiles, context: SnapshotReceiverContext) {
    this.#files = files;
    this.#context = context;
  }

  get isBusy(): boolean {
    return this.#transfer !== null;
  }

  /** Is the snapshot of this point, or of a later one, being received? */
  receives({ index }: SnapshotPoint): boolean {
    return this.#transfer !== null && this.#transfer.point.index >= index;
  }

  /** Begins, or goes on with another leader. The point is above the newest durable snapshot. */
  begin(from: MemberId, point: SnapshotPoint): void {
    const current = this.#transfer;
    if (current !== null && current.point.index === point.index && current.point.term === point.term) {
      if (current.from === from) return;
      current.from = from;
      return this.#ask(current);
    }
    // A newer snapshot is no reason to throw away one that is on its way, or nearly written: with snapshots taken faster than one is
    // fetched, none would ever be whole.
    if (current !== null && current.point.index < point.index && isUnderWay(current)) return;
    this.abandon();
    this.#guarded(() => {
      const transfer: Transfer = {
        point,
        from,
        writer: this.#files.create(point),
        restorer: this.#context.restorer(),
        nextChunk: 0,
        digest: null,
        chunkCount: null,
        isWriting: false,
        ticksWithoutChunk: 0,
      };
      this.#transfer = transfer;
      this.#ask(transfer);
    });
  }

  receive(message: Message & { type: 'snapshotChunk' }): void {
    const transfer = this.#transfer;
    if (transfer === null || transfer.isWriting || message.from !== transfer.from) return;
    const { point } = transfer;
    if (message.snapshotIndex !== point.index || message.snapshotTerm !== point.term) return;
    if (message.chunk !== transfer.nextChunk) {
      // mark: a chunk of a snapshot comes late or twice
      return;
    }
    const isOther = transfer.digest !== null && transfer.digest !== message.digest;
    if (isOther || (transfer.chunkCount ?? message.chunkCount) !== message.chunkCount) {
      // Two leaders' snapshots of one point should be the same bytes; if they are not, it begins anew.
      this.abandon();
      return this.begin(message.from, point);
    }
    transfer.digest = message.digest;
    transfer.chunkCount = message.chunkCount;
    transfer.ticksWithoutChunk = 0;
    this.#guarded(() => this.#take(transfer, message.data));
  }

  tick(): void {
    const transfer = this.#transfer;
    if (transfer === null || transfer.isWriting) return;
    if (this.#context.commitIndex() >= transfer.point.index) {
      // mark: the log came another way than by the snapshot that is fetched
      return this.abandon();
    }
    transfer.ticksWithoutChunk += 1;
    if (transfer.ticksWithoutChunk >= GIVE_UP_TICKS) {
      return this.abandon();
    }
    if (transfer.ticksWithoutChunk % ASK_AGAIN_TICKS === 0) this.#ask(transfer);
  }

  abandon(): void {
    const transfer = this.#transfer;
    this.#transfer = null;
    transfer?.writer.abandon();
  }

  #take(transfer: Transfer, data: Uint8Array): void {
    const { writer } = transfer;
    transfer.restorer.push(data);
    writer.append(data);
    transfer.nextChunk += 1;
    if (transfer.nextChunk === transfer.chunkCount) return this.#finish(transfer);
    if (writer.unsyncedBytes < UNSYNCED_CHUNKS_MAX * this.#files.chunkBytes) return this.#ask(transfer);
    // mark: a snapshot that is received is synced on the way
    transfer.isWriting = true;
    writer.sync((error) => {
      if (this.#transfer !== transfer) return;
      transfer.isWriting = false;
      if (error !== null) this.#context.failed(error);
      else this.#ask(transfer);
    });
  }

  #finish(transfer: Transfer): void {
    const machine = transfer.restorer.finish();
    // What a point says of a state is part of the state: anything else is a mix-up, and no snapshot for this point.
    if (machine.appliedIndex !== transfer.point.index) throw new DecodeError('a snapshot of another index');
    transfer.isWriting = true;
    transfer.writer.finish((error, info) => {
      if (this.#transfer !== transfer) return;
      this.#transfer = null;
      if (error !== null) return this.#context.failed(error);
      assert(info !== null);
      this.#context.received({ info, machine });
    });
  }

  #ask({ point, from, nextChunk }: Transfer): void {
    this.#context.send({
      type: 'snapshotChunkRequest',
      from: this.#context.self,
      to: from,
      term: this.#context.term(),
      snapshotIndex: point.index,
      snapshotTerm: point.term,
      chunk: nextChunk,
    });
  }

  #guarded(write: () => void): void {
    try {
      write();
    } catch (error) {
      if (error instanceof DecodeError) {
        // Broken on the way or at its source: nothing of it is kept, and the leader's next offer begins anew.
        return this.abandon();
      }
      if (error instanceof assert.AssertionError || !(error instanceof Error)) throw error;
      this.#context.failed(error);
    }
  }
}

function isUnderWay({ isWriting, ticksWithoutChunk }: Transfer): boolean {
  return isWriting || ticksWithoutChunk < STUCK_TICKS;
}
