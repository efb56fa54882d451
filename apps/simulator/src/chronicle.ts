import {
  StateMachine,
  decodeCommand,
  isBuiltInNamespace,
  type Operation,
  type StateMachineOptions,
} from '@quorate/kv';
import type { CommittedEntry } from './checkers/member-view.js';
import { decodeText } from './text.js';

/** One write that took effect, as the committed log tells it. */
export interface ChronicleWrite {
  readonly revision: number;
  readonly index: number;
  /** When the entry was first committed anywhere: true time, which no host knows. */
  readonly committedMs: number;
  readonly type: Operation['type'];
  readonly namespace: string;
  readonly key: string;
  /** Of a put; null: a deletion, or of a namespace. */
  readonly value: string | null;
  /** The namespace revision that the command was valid for only; null: any. */
  readonly ifNamespaceRevision: number | null;
}

/**
 * What really happened: the committed log, applied once more by a state machine that stands outside of the
 * cluster.
 */
export class Chronicle {
  readonly writes: ChronicleWrite[] = [];
  readonly machine: StateMachine;
  readonly #byKey = new Map<string, ChronicleWrite[]>();
  readonly #byNamespace = new Map<string, ChronicleWrite[]>();

  constructor(committed: readonly CommittedEntry[], options: StateMachineOptions = {}) {
    this.machine = new StateMachine(options);
    for (const entry of committed) this.#apply(entry);
  }

  #apply({ entry, atMs }: CommittedEntry): void {
    if (entry.kind === 'noop') return this.machine.applyNoop(entry.index);
    const before = this.machine.head;
    this.machine.apply(entry.index, entry.payload);
    // A repeated command gets its first answer again; the head tells whether anything changed.
    if (this.machine.head === before) return;
    const { body } = decodeCommand(entry.payload);
    if (body.type !== 'operation') return;
    const { operation } = body;
    const { type, namespace } = operation;
    const ofEntry = operation.type === 'put' || operation.type === 'delete';
    const write: ChronicleWrite = {
      revision: this.machine.head,
      index: entry.index,
      committedMs: atMs,
      type,
      namespace,
      key: ofEntry ? operation.key : '',
      value: operation.type === 'put' ? decodeText(operation.value) : null,
      ifNamespaceRevision: ofEntry ? operation.ifNamespaceRevision : null,
    };
    this.writes.push(write);
    // Readers change no entry, and not whether the namespace is there.
    if (type !== 'setReaders') append(this.#byKey, `${namespace}/${write.key}`, write);
    append(this.#byNamespace, namespace, write);
  }

  /** All writes of one key, in order; of the empty key, all creations and deletions of the namespace. */
  writesOf(namespace: string, key: string): readonly ChronicleWrite[] {
    return this.#byKey.get(`${namespace}/${key}`) ?? [];
  }

  /** All writes of a namespace, its record's included, in order. */
  writesIn(namespace: string): readonly ChronicleWrite[] {
    return this.#byNamespace.get(namespace) ?? [];
  }

  /**
   * The latest write of the key at or below `revision`, or that of its namespace's record if that came later:
   * a namespace that is deleted takes its keys along. Null: the key was never written before.
   */
  latest(namespace: string, key: string, revision: number): ChronicleWrite | null {
    const write = latestIn(this.writesOf(namespace, key), revision);
    const record = latestIn(this.writesOf(namespace, ''), revision);
    return write !== null && record !== null && record.revision > write.revision ? record : write;
  }

  /** The put that made the entry what it is at `revision`; null: there is none. */
  entry(namespace: string, key: string, revision: number): ChronicleWrite | null {
    const latest = this.latest(namespace, key, revision);
    return latest?.type === 'put' ? latest : null;
  }

  /** Is the namespace there at `revision`? */
  exists(namespace: string, revision: number): boolean {
    if (isBuiltInNamespace(namespace)) return true;
    const record = latestIn(this.writesOf(namespace, ''), revision);
    return record !== null && record.type !== 'deleteNamespace';
  }

  /** The puts that make up the namespace at `revision`: one for each entry, in no order. */
  entriesAt(namespace: string, revision: number): ChronicleWrite[] {
    const entries = new Map<string, ChronicleWrite>();
    for (const write of this.writesIn(namespace)) {
      if (write.revision > revision) break;
      if (write.type === 'put') entries.set(write.key, write);
      else if (write.type === 'delete') entries.delete(write.key);
      else if (write.type !== 'setReaders') entries.clear();
    }
    return [...entries.values()];
  }

  /** The newest revision of a namespace at or below `revision`, 0 if there is none. */
  namespaceRevisionAt(namespace: string, revision: number): number {
    return this.writesIn(namespace).findLast((write) => write.revision <= revision)?.revision ?? 0;
  }

  /**
   * The newest revision of a namespace that had been committed before `atMs`, true time; 0 if there is none.
   */
  newestCommittedBefore(namespace: string, atMs: number): number {
    return newestBefore(this.writesIn(namespace), atMs);
  }

  /** The head that had been committed before `atMs`, true time. */
  headBefore(atMs: number): number {
    return newestBefore(this.writes, atMs);
  }
}

function newestBefore(writes: readonly ChronicleWrite[], atMs: number): number {
  let [low, high] = [0, writes.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((writes[middle]?.committedMs ?? Infinity) < atMs) low = middle + 1;
    else high = middle;
  }
  return writes[low - 1]?.revision ?? 0;
}

function latestIn(writes: readonly ChronicleWrite[], revision: number): ChronicleWrite | null {
  return writes.findLast((write) => write.revision <= revision) ?? null;
}

function append(lists: Map<string, ChronicleWrite[]>, name: string, write: ChronicleWrite): void {
  const list = lists.get(name);
  if (list === undefined) lists.set(name, [write]);
  else list.push(write);
}
