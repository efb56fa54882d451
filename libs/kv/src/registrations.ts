import assert from 'node:assert/strict';
import type { AnswerRow, ClientRow } from './rows.js';
import { hashOfRow } from './rows.js';
import type { RowHash } from './state-hash.js';
import { LazyRowSum, RowSum, type SummedRow } from './state-hash.js';
import type { ApplyResult, RegistrationStamp } from './types.js';

export interface RegistrationLimits {
  readonly registrationsMax: number;
  readonly answersPerClientMax: number;
}

/** A row never changes. */
interface Answer extends SummedRow {
  readonly row: AnswerRow;
}

interface Client extends SummedRow {
  readonly clientId: number;
  completedThrough: number;
  lastUsedIndex: number;
  /** By sequence. */
  readonly answers: Map<number, Answer>;
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

/** One client of a snapshot, as it was when the snapshot began. */
export interface CapturedClient {
  readonly clientId: number;
  readonly completedThrough: number;
  readonly lastUsedIndex: number;
  readonly answers: ReadonlyMap<number, { readonly row: AnswerRow }>;
}

/** Exactly once, first layer (P15): registered clients and the answers they may still ask for again. */
export class Registrations {
  readonly #limits: RegistrationLimits;
  /** In the order of their last use, which is the order of eviction: whoever is used is put behind all others. */
  readonly #clients = new Map<number, Client>();
  /** The last one of them. */
  #newest: Client | null = null;
  // Each command changes its client's row, adds an answer, and ends another.
  readonly #clientSum = new LazyRowSum<Client>((client) => hashOfRow(clientRow(client)));
  readonly #answerSum = new LazyRowSum<Answer>(({ row }) => hashOfRow(row));
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

  get sum(): RowHash {
    const sum = new RowSum(this.#clientSum.value);
    sum.add(this.#answerSum.value);
    return sum.value;
  }

  /** Adds a client and evicts those least recently used in log order, so that every member evicts the same. */
  register(clientId: number, index: number): void {
    this.#insert(this.#create({ type: 'client', clientId, completedThrough: 0, lastUsedIndex: index }));
    while (this.#clients.size > this.#limits.registrationsMax) {
      // mark: a client's registration is evicted
      this.#removeOldest();
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
      return { type: 'answered', result: answer.row.result };
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

  /** A consistent view for a snapshot, least recently used first. A word for each client: they are copied when they next change. */
  capture(): readonly CapturedClient[] {
    this.#generation += 1;
    return [...this.#clients.values()];
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

  #create({ clientId, completedThrough, lastUsedIndex }: ClientRow): Client {
    return {
      clientId,
      completedThrough,
      lastUsedIndex,
      answers: new Map(),
      generation: this.#generation,
      hash: null,
      isGone: false,
    };
  }

  #insert(client: Client): void {
    this.#putLast(client);
    this.#clientSum.add(client);
  }

  /** Puts a client behind all others, be it new or not. */
  #putLast(client: Client): void {
    this.#clients.delete(client.clientId);
    this.#clients.set(client.clientId, client);
    this.#newest = client;
  }

  #removeOldest(): void {
    const [client] = this.#clients.values();
    assert(client !== undefined && client !== this.#newest, 'the newest one stays');
    this.#clientSum.remove(client);
    this.#clients.delete(client.clientId);
    for (const answer of client.answers.values()) this.#answerSum.remove(answer);
  }

  #keep(client: Client, row: AnswerRow): void {
    const answer = { row, hash: null, isGone: false };
    client.answers.set(row.sequence, answer);
    this.#answerSum.add(answer);
  }

  /** Moves the client to the newest place and forgets the answers that it has. */
  #use(known: Client, index: number, completedThrough: number): Client {
    assert(index > (this.#newest?.lastUsedIndex ?? 0), 'a command uses one client');
    const client = this.#writable(known);
    client.lastUsedIndex = index;
    if (completedThrough > client.completedThrough) this.#complete(client, completedThrough);
    this.#clientSum.change(client);
    // Where one client writes on and on it stands there already.
    if (client !== this.#newest) this.#putLast(client);
    return client;
  }

  /** The client, to be changed: a copy takes its place when a snapshot still reads it. */
  #writable(known: Client): Client {
    if (known.generation === this.#generation) return known;
    const copy = {
      ...known,
      answers: new Map(known.answers),
      generation: this.#generation,
      hash: null,
      isGone: false,
    };
    this.#clientSum.remove(known);
    this.#clientSum.add(copy);
    return copy;
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
    this.#answerSum.remove(answer);
  }
}

/** The client's own row, without its answers. */
export function clientRow(client: CapturedClient): ClientRow {
  const { clientId, completedThrough, lastUsedIndex } = client;
  return { type: 'client', clientId, completedThrough, lastUsedIndex };
}
