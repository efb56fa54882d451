import assert from 'node:assert/strict';
import { logIndex, type LogIndex } from './types.js';

/**
 * What a leader knows of one follower.
 * `probe`: the follower's end is being searched; one message at a time.
 * `replicate`: the follower keeps up; messages are pipelined within a window of messages and bytes (P23).
 * `snapshot`: the entry before its next one is compacted away; it is offered a snapshot, and nothing is appended until it has one [S4].
 */
export class Progress {
  state: 'probe' | 'replicate' | 'snapshot' = 'probe';
  /** Known to be held durably by the follower, as a prefix equal to ours. */
  matchIndex: LogIndex = logIndex(0);
  /** As far as it was acknowledged by a member that keeps its promises: only this counts for committing [F2]. */
  countedIndex: LogIndex = logIndex(0);
  /** The recovery that the follower speaks of; 0 while it takes part in full. */
  recovery = 0;
  /** Our entry that was appended when this recovery was first heard of; 0 before [F3]. */
  recoveryIndex: LogIndex = logIndex(0);
  nextIndex: number;
  /** The commit index that the follower was last told. */
  sentCommit: LogIndex = logIndex(0);
  /** In `probe` and `snapshot`: a message is out, wait for its answer (or a heartbeat's). */
  probeSent = false;
  /** In `snapshot`: the index that was offered last. */
  offeredIndex: LogIndex = logIndex(0);
  /** When anything of this term last came from the follower, in ticks of the leader. */
  lastHeardTick: number;
  /** When the match index last moved or a message was first sent after idleness. */
  lastProgressTick: number;
  readonly #inflight: { last: number; bytes: number }[] = [];
  #inflightBytes = 0;

  constructor(nextIndex: number, nowTick: number) {
    this.nextIndex = nextIndex;
    this.lastHeardTick = nowTick;
    this.lastProgressTick = nowTick;
  }

  get inflightMessages(): number {
    return this.#inflight.length;
  }

  get inflightBytes(): number {
    return this.#inflightBytes;
  }

  windowIsFull(messagesMax: number, bytesMax: number): boolean {
    return this.#inflight.length >= messagesMax || this.#inflightBytes >= bytesMax;
  }

  sent(lastIndex: number, bytes: number, nowTick: number): void {
    assert.equal(this.state, 'replicate');
    if (this.#inflight.length === 0) this.lastProgressTick = nowTick;
    this.#inflight.push({ last: lastIndex, bytes });
    this.#inflightBytes += bytes;
    this.nextIndex = lastIndex + 1;
  }

  /** The follower holds everything up to `index`; entries before `firstIndex` are compacted away. Returns whether that is news. */
  acknowledged(index: LogIndex, nowTick: number, firstIndex: LogIndex): boolean {
    while (this.#inflight.length > 0) {
      const first = this.#inflight[0];
      assert(first !== undefined);
      if (first.last > index) break;
      this.#inflight.shift();
      this.#inflightBytes -= first.bytes;
    }
    const news = index > this.matchIndex;
    if (news) {
      this.matchIndex = index;
      this.lastProgressTick = nowTick;
    }
    if (this.nextIndex <= index) this.nextIndex = index + 1;
    if (this.state === 'snapshot' && this.matchIndex < firstIndex - 1) {
      // What it took is compacted away, too, by now: a newer snapshot is due. Or it acknowledges what was sent before the offer.
      if (index >= this.offeredIndex) this.probeSent = false;
      return news;
    }
    if (this.state !== 'replicate') {
      this.state = 'replicate';
      this.probeSent = false;
      this.nextIndex = this.matchIndex + 1;
    }
    return news;
  }

  /** All of it, for `Raft.inspect`. */
  inspect() {
    return {
      state: this.state,
      matchIndex: this.matchIndex,
      countedIndex: this.countedIndex,
      recovery: this.recovery,
      recoveryIndex: this.recoveryIndex,
      nextIndex: this.nextIndex,
      sentCommit: this.sentCommit,
      probeSent: this.probeSent,
      offeredIndex: this.offeredIndex,
      lastHeardTick: this.lastHeardTick,
      lastProgressTick: this.lastProgressTick,
      inflight: this.#inflight.map((one) => ({ ...one })),
      inflightBytes: this.#inflightBytes,
    };
  }

  becomeProbe(nextIndex: number): void {
    this.state = 'probe';
    this.probeSent = false;
    this.nextIndex = Math.max(nextIndex, this.matchIndex + 1);
    this.#emptyWindow();
  }

  /** The follower lost its log. What counts stays: its former self did hold that when it said so, and no entry was sent to both [F2]. */
  startAnew(nextIndex: number): void {
    this.matchIndex = logIndex(0);
    this.sentCommit = logIndex(0);
    this.becomeProbe(nextIndex);
  }

  becomeSnapshot(): void {
    this.state = 'snapshot';
    this.probeSent = false;
    this.offeredIndex = logIndex(0);
    this.#emptyWindow();
  }

  offered(index: LogIndex, nowTick: number): void {
    assert.equal(this.state, 'snapshot');
    this.probeSent = true;
    this.offeredIndex = index;
    this.lastProgressTick = nowTick;
  }

  #emptyWindow(): void {
    this.#inflight.length = 0;
    this.#inflightBytes = 0;
  }
}
