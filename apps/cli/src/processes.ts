import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { closeSync, fstatSync, mkdirSync, openSync, readSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** A log file longer than this is put aside (as .1) at the next start. */
const LOG_BYTES_MAX = 16 * 1024 * 1024;
/** How much of the end of a log is searched for the reason of an exit. */
const LOG_TAIL_BYTES = 64 * 1024;
/** What a process gets to end by itself before it is killed. */
const STOP_TIMEOUT_MS = 10_000;

export interface Program {
  /** "member-1": also the name of the log file. */
  readonly name: string;
  readonly command: string;
  readonly arguments: readonly string[];
  readonly environment: NodeJS.ProcessEnv;
}

export interface ExitOf {
  readonly name: string;
  readonly pid: number;
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** The last thing it said, or null. */
  readonly lastWords: string | null;
}

interface Running {
  readonly child: ChildProcess;
  readonly exited: Promise<void>;
}

/**
 * The processes that one `quorate dev` started. They are known by their pid, and each holds a pipe from this process
 * as its standard input: when this process dies, however, the pipe closes and they end by themselves.
 */
export class Processes {
  readonly #running = new Map<string, Running>();
  #stopping = false;

  constructor(
    private readonly logFolder: string,
    private readonly onUnexpectedExit: (exit: ExitOf) => void,
  ) {
    mkdirSync(logFolder, { recursive: true, mode: 0o700 });
  }

  /** Path of a program's log. */
  logPath(name: string): string {
    return join(this.logFolder, `${name}.log`);
  }

  /** Pid of a running program; null when it does not run. */
  pid(name: string): number | null {
    return this.#running.get(name)?.child.pid ?? null;
  }

  /** Starts a program with its output in <folder>/<name>.log, and returns its pid. Rejects when it cannot be started. */
  async start(program: Program): Promise<number> {
    const path = this.logPath(program.name);
    putAsideIfLong(path);
    const log = openSync(path, 'a', 0o600);
    const offset = fstatSync(log).size;
    const child = spawn(program.command, [...program.arguments], {
      env: program.environment,
      stdio: ['pipe', log, log],
    });
    closeSync(log);
    // Nothing is ever written there; a child that ends first must not turn this into an error.
    child.stdin?.on('error', () => undefined);
    const exited = new Promise<void>((resolve) => {
      child.once('exit', (code, signal) => {
        this.#running.delete(program.name);
        resolve();
        if (this.#stopping) return;
        const lastWords = lastMessage(path, offset);
        this.onUnexpectedExit({ name: program.name, pid: child.pid ?? 0, code, signal, lastWords });
      });
    });
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', reject);
    });
    this.#running.set(program.name, { child, exited });
    return child.pid ?? 0;
  }

  /** Ends everything, `first` before the others: asks, and kills what has not ended after ten seconds. */
  async stopAll(first: string): Promise<void> {
    this.#stopping = true;
    const running = [...this.#running.values()];
    const front = this.#running.get(first);
    front?.child.kill('SIGTERM');
    const timer = setTimeout(() => {
      for (const { child } of this.#running.values()) child.kill('SIGKILL');
    }, STOP_TIMEOUT_MS);
    await front?.exited;
    for (const { child } of this.#running.values()) child.kill('SIGTERM');
    await Promise.all(running.map(({ exited }) => exited));
    clearTimeout(timer);
  }
}

function putAsideIfLong(path: string): void {
  try {
    if (statSync(path).size > LOG_BYTES_MAX) renameSync(path, `${path}.1`);
  } catch {
    // There is no log yet.
  }
}

/** What a process said last since `offset`: the message of its last JSON line, else its last line about an error. */
export function lastMessage(path: string, offset: number): string | null {
  const lines = readTail(path, offset)
    .split('\n')
    .filter((line) => line.trim() !== '');
  for (const line of lines.toReversed()) {
    const message = messageOf(line);
    if (message !== null) return message;
  }
  const error = lines.toReversed().find((line) => /error/i.test(line));
  return (error ?? lines.at(-1))?.trim() ?? null;
}

function messageOf(line: string): string | null {
  try {
    const parsed: unknown = JSON.parse(line);
    if (typeof parsed === 'object' && parsed !== null && 'message' in parsed) {
      return typeof parsed.message === 'string' ? parsed.message : null;
    }
  } catch {
    // Not a line of ours.
  }
  return null;
}

function readTail(path: string, offset: number): string {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch {
    return '';
  }
  try {
    const size = fstatSync(file).size;
    const start = Math.max(Math.min(offset, size), size - LOG_TAIL_BYTES);
    const bytes = Buffer.alloc(size - start);
    const count = readSync(file, bytes, 0, bytes.length, start);
    return bytes.toString('utf8', 0, count);
  } finally {
    closeSync(file);
  }
}

/**
 * Wraps a program that does not watch its standard input (nats-server) so that it ends with its parent all the same.
 * The shell keeps the pipe open in a background reader; when the pipe closes, the reader ends the program.
 */
export function endingWithParent(command: string, parameters: readonly string[]): readonly string[] {
  const script = [
    'exec 3<&0',
    '"$0" "$@" </dev/null 3<&- & program=$!',
    'trap \'kill "$program" 2>/dev/null\' TERM INT HUP',
    '(read -r _ <&3; kill "$program" 2>/dev/null) & watcher=$!',
    'exec 3<&-',
    'wait "$program"; status=$?',
    // A trapped signal interrupts the first wait: wait again for the end itself.
    'wait "$program" 2>/dev/null',
    'kill "$watcher" 2>/dev/null',
    'exit "$status"',
  ].join('\n');
  return ['-c', script, command, ...parameters];
}
