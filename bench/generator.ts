import { type ChildProcess, fork } from 'node:child_process';
import { join } from 'node:path';
import type { OperationName, Target } from './adapters/adapter.js';
import type { ClientName } from './adapters/connect.js';
import { atEnd, signalProcess } from './lifetimes.js';
import type { Noise } from './measure.js';

/** What a load generator can be told to do. */
export interface Commands {
  readonly connect: {
    readonly type: 'connect';
    readonly client: ClientName;
    readonly target: Target;
    readonly valueBytes: number;
  };
  readonly close: { readonly type: 'close' };
  /** Writes keys `from` to `to` - 1 once each, `clients` at a time; or does another operation on each. */
  readonly load: {
    readonly type: 'load';
    readonly operation?: OperationName;
    readonly from: number;
    readonly to: number;
    readonly clients: number;
  };
  /** A closed loop: each client sends its next operation when the one before is answered, on the next of `keys` keys. */
  readonly run: {
    readonly type: 'run';
    readonly operation: OperationName;
    readonly clients: number;
    readonly warmMs: number;
    readonly measureMs: number;
    readonly keys: number;
    /** Whose CPU time is noted. */
    readonly serverPids: readonly number[];
    /** Other processes that belong to the benchmark: they are not foreign. */
    readonly ownPids: readonly number[];
  };
  /** Writes at a fixed rate and notes when each write is seen. */
  readonly watch: {
    readonly type: 'watch';
    readonly ratePerSecond: number;
    readonly count: number;
    readonly keys: number;
  };
  /** One operation: how long until an answer comes, and which. */
  readonly probe: { readonly type: 'probe'; readonly operation: OperationName; readonly limitMs: number };
}

export type Command = Commands[keyof Commands];

export interface RunAnswer extends Noise {
  readonly operations: number;
  readonly seconds: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly serverCpuSeconds: number;
  readonly clientCpuSeconds: number;
  /** How often, by reason. Failures are no operations. */
  readonly failures: Readonly<Record<string, number>>;
}

export interface WatchAnswer {
  /** Writes that were not acknowledged. */
  readonly failed: number;
  /** Acknowledged and never seen. */
  readonly missing: number;
  /** Negative: seen before the acknowledgement. */
  readonly fromAcknowledgedUs: readonly number[];
  readonly fromSentUs: readonly number[];
}

export interface Answers {
  readonly connect: object;
  readonly close: object;
  readonly load: { readonly failures: number; readonly seconds: number };
  readonly run: RunAnswer;
  readonly watch: WatchAnswer;
  /** `answer`: `ok`, or the error. */
  readonly probe: { readonly ms: number; readonly answer: string };
}

type Reply =
  | { readonly id: number; readonly answer: Answers[keyof Answers] }
  | { readonly id: number; readonly error: string };

interface Waiting {
  readonly resolve: (answer: Answers[keyof Answers]) => void;
  readonly reject: (error: Error) => void;
}

/** A load generator in a process of its own. */
export class Generator {
  readonly #process: ChildProcess;
  readonly #waiting = new Map<number, Waiting>();
  readonly #forget: () => void;
  #id = 0;

  constructor() {
    this.#process = fork(join(import.meta.dirname, 'worker.ts'), {
      cwd: join(import.meta.dirname, '..'),
      execArgv: ['--import', './bench/built.mjs', '--import', './test/loader/register.mjs'],
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.#forget = atEnd(() => signalProcess(this.pid, 'SIGKILL'));
    this.#process.on('message', (reply: Reply) => {
      const waiting = this.#waiting.get(reply.id);
      this.#waiting.delete(reply.id);
      if ('error' in reply) waiting?.reject(new Error(reply.error));
      else waiting?.resolve(reply.answer);
    });
    this.#process.on('exit', (code, signal) => {
      for (const { reject } of this.#waiting.values()) {
        reject(new Error(`the load generator ended (${signal ?? code})`));
      }
      this.#waiting.clear();
    });
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  /** Does one command after the other or several at once; rejects with what the load generator says. */
  do<Name extends keyof Commands>(command: Commands[Name] & { readonly type: Name }): Promise<Answers[Name]> {
    return new Promise((resolve, reject) => {
      this.#id += 1;
      const answered = resolve as Waiting['resolve'];
      this.#waiting.set(this.#id, { resolve: answered, reject });
      this.#process.send({ id: this.#id, command });
    });
  }

  stop(): void {
    this.#forget();
    this.#process.kill('SIGKILL');
  }
}
