import assert from 'node:assert/strict';
import type { AnswerRow, ClientRow } from './rows.js';
import { encodeRow } from './rows.js';
import { RowSum, rowHash } from './state-hash.js';
import type { ApplyResult, RegistrationStamp } from './types.js';

export interface RegistrationLimits {
  readonly registrationsMax: number;
  readonly answersPerClientMax: number;
}

interface KeptAnswer {
  readonly result: ApplyResult;
  readonly hash: bigint;
}

interface Client {
  readonly clientId: number;
  completedThrough: number;
  lastUsedIndex: number;
  readonly answers: Map<number, KeptAnswer>;
  hash: bigint;
  /** Frozen when it is below the table's generation: a snapshot still reads it. */
  readonly generation: number;
}

export type Admission =
  | { readonly type: 'new' }
  | { readonly type: 'answered'; readonly result: ApplyResult }
  | {
      readonly type: 'refused';
      readonly code: 'REGISTRATION_EXPIRED' | 'SEQUENCE_COMPLETED' | 'TOO_MANY_OUTSTANDING';
    };

/** One client of a snapshot: its row and its answers, as they were when the snapshot began. */
export interface CapturedClient {
  readonly row: ClientRow;
  readonly answers: ReadonlyMap<number, { readonly result: ApplyResult }>;
}

/** Exactly once, first layer (P15): registered clients and the answers they may still ask for again. */
export class Registrations {
  readonly #limits: RegistrationLimits;
  // In log order of last use: a Map iterates in order of insertion, and a use inserts anew.
  readonly #clients = new Map<number, Client>();
  readonly #sum = new RowSum();
  #generation = 0;

  constructor(limits: RegistrationLimits) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#clients.size;
  }

  /** Answers kept for the client that has most. */
  get answersMost(): number {
    let most = 0;
    for (const { answers } of this.#clients.values()) most = Math.max(most, answers.size);
    return most;
  }

  get sum(): bigint {
    return this.#sum.value;
  }

  /** Adds a client and evicts those least recently used in log order, so that every member evicts the same. */
  register(clientId: number, index: number): void {
    this.#insert(this.#create({ type: 'client', clientId, completedThrough: 0, lastUsedIndex: index }));
    for (const oldest of this.#clients.values()) {
      if (this.#clients.size <= this.#limits.registrationsMax) break;
      // mark: a client's registration is evicted
      this.#remove(oldest);
    }
  }

  /** Decides on a stamp whose `completedThrough` is below its sequence. Only `new` may go on to be applied. */
  admit(stamp: RegistrationStamp, index: number): Admission {
    assert(stamp.completedThrough < stamp.sequence, 'the caller refuses an impossible stamp');
    const known = this.#clients.get(stamp.clientId);
    if (known === undefined) {
      // mark: an evicted client writes
      return { type: 'refused', code: 'REGISTRATION_EXPIRED' };
    }
    const client = this.#use(known, index, stamp.completedThrough);
    if (stamp.sequence <= client.completedThrough) {
      // mark: a request comes after its client has given it up
      return { type: 'refused', code: 'SEQUENCE_COMPLETED' };
    }
    const answer = client.answers.get(stamp.sequence);
    if (answer !== undefined) {
      // mark: a repeated request gets the answer of the first
      return { type: 'answered', result: answer.result };
    }
    if (client.answers.size >= this.#limits.answersPerClientMax) {
      return { type: 'refused', code: 'TOO_MANY_OUTSTANDING' };
    }
    return { type: 'new' };
  }

  /** Keeps the answer of a request that `admit` called new, in the same command. */
  record(clientId: number, sequence: number, result: ApplyResult): void {
    const client = this.#clients.get(clientId);
    assert(client !== undefined && !client.answers.has(sequence), 'admitted as new just now');
    this.#keep(client, { type: 'answer', clientId, sequence, result });
  }

  /** A consistent view for a snapshot: clients are copied when they next change. */
  capture(): CapturedClient[] {
    this.#generation += 1;
    return [...this.#clients.values()].map((client) => ({ row: clientRow(client), answers: client.answers }));
  }

  /** Takes a client from a snapshot, in order of last use. False: it is out of place. */
  restoreClient(row: ClientRow, lastUsedIndexPrevious: number): boolean {
    if (row.lastUsedIndex <= lastUsedIndexPrevious || this.#clients.has(row.clientId)) return false;
    this.#insert(this.#create(row));
    return true;
  }

  /** Takes an answer from a snapshot, in order of sequence. False: it belongs to no client or is out of place. */
  restoreAnswer(row: AnswerRow, sequencePrevious: number): boolean {
    const client = this.#clients.get(row.clientId);
    if (client === undefined || row.sequence <= Math.max(client.completedThrough, sequencePrevious))
      return false;
    this.#keep(client, row);
    return true;
  }

  #create(row: ClientRow): Client {
    const { clientId, completedThrough, lastUsedIndex } = row;
    const hash = rowHash(encodeRow(row));
    return {
      clientId,
      completedThrough,
      lastUsedIndex,
      answers: new Map(),
      hash,
      generation: this.#generation,
    };
  }

  #insert(client: Client): void {
    this.#clients.set(client.clientId, client);
    this.#sum.add(client.hash);
  }

  #remove(client: Client): void {
    this.#clients.delete(client.clientId);
    this.#sum.subtract(client.hash);
    for (const answer of client.answers.values()) this.#sum.subtract(answer.hash);
  }

  #keep(client: Client, row: AnswerRow): void {
    const hash = rowHash(encodeRow(row));
    client.answers.set(row.sequence, { result: row.result, hash });
    this.#sum.add(hash);
  }

  /** Moves the client to the newest place and forgets the answers that it has. */
  #use(known: Client, index: number, completedThrough: number): Client {
    this.#clients.delete(known.clientId);
    this.#sum.subtract(known.hash);
    const frozen = known.generation !== this.#generation;
    const client = frozen
      ? { ...known, answers: new Map(known.answers), generation: this.#generation }
      : known;
    client.lastUsedIndex = index;
    if (completedThrough > client.completedThrough) this.#complete(client, completedThrough);
    client.hash = rowHash(encodeRow(clientRow(client)));
    this.#insert(client);
    return client;
  }

  #complete(client: Client, completedThrough: number): void {
    const completed = completedThrough - client.completedThrough;
    // A client may jump ahead by 2^50: walk whichever is shorter, the jump or what is kept.
    if (completed > client.answers.size) {
      for (const sequence of client.answers.keys()) {
        if (sequence <= completedThrough) this.#forget(client, sequence);
      }
    } else {
      for (let sequence = client.completedThrough + 1; sequence <= completedThrough; sequence += 1) {
        this.#forget(client, sequence);
      }
    }
    client.completedThrough = completedThrough;
  }

  #forget(client: Client, sequence: number): void {
    const answer = client.answers.get(sequence);
    if (answer === undefined) return;
    client.answers.delete(sequence);
    this.#sum.subtract(answer.hash);
  }
}

function clientRow(client: Client): ClientRow {
  const { clientId, completedThrough, lastUsedIndex } = client;
  return { type: 'client', clientId, completedThrough, lastUsedIndex };
}
