import { StateMachine, decodeCommand, type Operation, type StateMachineOptions } from '@quorate/kv';
import type { LogEntry } from '@quorate/raft';
import { decodeText } from './traffic.js';

/** One write that took effect, as the committed log tells it. */
export interface ChronicleWrite {
  readonly revision: number;
  readonly index: number;
  readonly type: Operation['type'];
  readonly namespace: string;
  readonly key: string;
  /** Of a put; null: a deletion, or of a namespace. */
  readonly value: string | null;
}

/** What really happened: the committed log, applied once more by a state machine that stands outside of the cluster. */
export class Chronicle {
  readonly writes: ChronicleWrite[] = [];
  readonly machine: StateMachine;
  readonly #byKey = new Map<string, ChronicleWrite[]>();

  constructor(committed: readonly LogEntry[], options: StateMachineOptions = {}) {
    this.machine = new StateMachine(options);
    for (const entry of committed) this.#apply(entry);
  }

  #apply(entry: LogEntry): void {
    if (entry.kind === 'noop') return this.machine.applyNoop(entry.index);
    const before = this.machine.head;
    this.machine.apply(entry.index, entry.payload);
    // A repeated command gets its first answer again; the head tells whether anything changed.
    if (this.machine.head === before) return;
    const { body } = decodeCommand(entry.payload);
    if (body.type !== 'operation') return;
    const { operation } = body;
    const key = operation.type === 'put' || operation.type === 'delete' ? operation.key : '';
    const value = operation.type === 'put' ? decodeText(operation.value) : null;
    const { type, namespace } = operation;
    const write = { revision: this.machine.head, index: entry.index, type, namespace, key, value };
    this.writes.push(write);
    const name = `${namespace}/${key}`;
    const writes = this.#byKey.get(name);
    if (writes === undefined) this.#byKey.set(name, [write]);
    else writes.push(write);
  }

  /** All writes of one key, in order. */
  writesOf(namespace: string, key: string): readonly ChronicleWrite[] {
    return this.#byKey.get(`${namespace}/${key}`) ?? [];
  }

  /** The latest write of the key at or below `revision`; null: the key was never written before. */
  latest(namespace: string, key: string, revision: number): ChronicleWrite | null {
    return this.writesOf(namespace, key).findLast((write) => write.revision <= revision) ?? null;
  }
}
