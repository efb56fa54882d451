import assert from 'node:assert/strict';
import type { RegistrationStamp } from '@quorate/kv';

/** Numbers the writes of one client registration and knows which of them are over. */
export class Registration {
  readonly clientId: number;
  #lastSequence = 0;
  #completedThrough = 0;
  /** Completed ones above `completedThrough`. */
  readonly #completed = new Set<number>();

  constructor(clientId: number) {
    this.clientId = clientId;
  }

  /**
   * Sequences from the lowest outstanding one to the newest. The state machine keeps an answer for each of them, so
   * this, not the number outstanding, is what must stay bounded: one slow write holds all later answers.
   */
  get window(): number {
    return this.#lastSequence - this.#completedThrough;
  }

  /** The next number, from 1. */
  assign(): number {
    this.#lastSequence += 1;
    return this.#lastSequence;
  }

  /** The caller has its answer, or gave up: the sequence is never sent again, and its late duplicate is refused. */
  complete(sequence: number): void {
    // No message is made for what is right: this is called for every write.
    if (!(sequence > this.#completedThrough && sequence <= this.#lastSequence))
      assert.fail(`sequence ${sequence} is not outstanding`);
    if (this.#completed.has(sequence)) assert.fail(`sequence ${sequence} completed twice`);
    if (sequence > this.#completedThrough + 1) {
      this.#completed.add(sequence);
      return;
    }
    // Most writes end in their order: those pass the set by.
    this.#completedThrough = sequence;
    while (this.#completed.delete(this.#completedThrough + 1)) this.#completedThrough += 1;
  }

  stamp(sequence: number): RegistrationStamp {
    assert(
      sequence > this.#completedThrough && !this.#completed.has(sequence),
      'a completed sequence is not sent again',
    );
    return { clientId: this.clientId, sequence, completedThrough: this.#completedThrough };
  }
}
