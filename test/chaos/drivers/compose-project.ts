import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { join } from 'node:path';
import { until } from '../../rest.js';
import type { Part } from '../fault.js';
import { failureOf, runCommand } from './command.js';

const ROOT = join(import.meta.dirname, '../../..');
const BUILD_TIMEOUT_MS = 900_000;
const UP_TIMEOUT_MS = 180_000;
const DOWN_TIMEOUT_MS = 60_000;
const LOG_TIMEOUT_MS = 60_000;

export interface ContainerState {
  /** `created`, `running`, `paused`, `restarting`, `exited`, `dead`. */
  readonly status: string;
  /** Of its first process, as the host numbers it; 0: it does not run. */
  readonly pid: number;
  readonly startedAt: string;
}

/** Containers of one Compose project: with Compose v2 and 1.29, which name them differently. */
export class ComposeProject {
  readonly #command: readonly string[];
  readonly #ids = new Map<Part, string>();
  #events: ChildProcess | null = null;

  private constructor(
    command: readonly string[],
    private readonly name: string,
    private readonly files: readonly string[],
    private readonly variables: Readonly<Record<string, string>>,
  ) {
    this.#command = command;
  }

  /** `files`: laid over each other, relative to the repository. Rejects in one sentence where there is no engine or no Compose. */
  static async make(
    name: string,
    files: readonly string[],
    variables: Readonly<Record<string, string>>,
  ): Promise<ComposeProject> {
    const failure = await failureOf('docker', ['version']);
    if (failure !== null) throw new Error(`no docker engine answers: ${failure}`);
    for (const command of [['docker', 'compose'], ['docker-compose']]) {
      const [program = '', ...first] = command;
      if ((await failureOf(program, [...first, 'version'])) === null)
        return new ComposeProject(command, name, files, variables);
    }
    throw new Error('neither "docker compose" nor "docker-compose" is installed');
  }

  async build(): Promise<void> {
    await this.#compose(['build'], BUILD_TIMEOUT_MS);
  }

  /** Starts all and learns which container is which part. */
  async up(parts: readonly Part[]): Promise<void> {
    await this.#compose(['up', '-d'], UP_TIMEOUT_MS);
    for (const part of parts) this.#ids.set(part, await this.#find(part));
  }

  /** What a service of the profile `admin` prints that is run once. */
  async runOnce(service: string, ...command: string[]): Promise<string> {
    return await this.#compose(['run', '--rm', '--no-deps', '-T', service, ...command], UP_TIMEOUT_MS);
  }

  /** Containers, networks and volumes are gone. Also those of an earlier run that was killed. */
  async down(): Promise<void> {
    this.stopListening();
    await this.#compose(['down', '-v', '--remove-orphans', '-t', '1'], DOWN_TIMEOUT_MS);
  }

  /** The same without waiting for anybody's grace, at the end of this program. */
  downNow(): void {
    this.stopListening();
    const [program = '', ...first] = this.#command;
    execFileSync(program, [...first, ...this.#where, 'down', '-v', '--remove-orphans', '-t', '0'], {
      cwd: ROOT,
      env: this.#environment,
      stdio: 'ignore',
      timeout: DOWN_TIMEOUT_MS,
    });
  }

  has(part: Part): boolean {
    return this.#ids.has(part);
  }
  id(part: Part): string {
    const id = this.#ids.get(part);
    if (id === undefined) throw new Error(`there is no container ${part}`);
    return id;
  }

  async docker(...parameters: string[]): Promise<string> {
    return (await runCommand('docker', parameters)).trim();
  }

  async state(part: Part): Promise<ContainerState> {
    const format = '{{.State.Status}} {{.State.Pid}} {{.State.StartedAt}}';
    const [status = '', pid = '', startedAt = ''] = (
      await this.docker('inspect', '-f', format, this.id(part))
    ).split(' ');
    return { status, pid: Number(pid), startedAt };
  }

  /** Not running, and not to be started again by its restart policy, whatever it was doing. Nothing is asked of it. */
  async forceDown(part: Part): Promise<void> {
    const id = this.id(part);
    await until(
      `${part} is down`,
      async () => {
        const { status } = await this.state(part);
        if (status === 'exited' || status === 'created') return true;
        // What waits for its next start cannot be killed.
        const command = status === 'restarting' ? ['stop', '--time', '0'] : ['kill', '--signal', 'KILL'];
        await failureOf('docker', [...command, id]);
        return false;
      },
      30_000,
    );
  }

  /** `started` is called with each part that starts, by whomever. */
  async listen(started: (part: Part) => void): Promise<void> {
    const filters = ['type=container', 'event=start', `label=com.docker.compose.project=${this.name}`];
    const format = '{{index .Actor.Attributes "com.docker.compose.service"}}';
    const child = spawn(
      'docker',
      ['events', ...filters.flatMap((filter) => ['--filter', filter]), '--format', format],
      { stdio: ['ignore', 'pipe', 'ignore'] },
    );
    this.#events = child;
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', reject);
    });
    createInterface({ input: child.stdout }).on('line', (line) => {
      for (const part of this.#ids.keys()) if (part === line.trim()) started(part);
    });
  }
  stopListening(): void {
    this.#events?.kill('SIGKILL');
    this.#events = null;
  }

  /** Everything that a container has written, also before it was started again. */
  async saveLog(part: Part, file: string): Promise<void> {
    const log = openSync(file, 'w', 0o600);
    const child = spawn('docker', ['logs', '--timestamps', this.id(part)], { stdio: ['ignore', log, log] });
    closeSync(log);
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => child.kill('SIGKILL'), LOG_TIMEOUT_MS);
      const end = (): void => {
        clearTimeout(timer);
        resolve();
      };
      child.once('error', end);
      child.once('exit', end);
    });
  }

  async #find(part: Part): Promise<string> {
    const labels = [`com.docker.compose.project=${this.name}`, `com.docker.compose.service=${part}`];
    const id = await this.docker('ps', '-aq', ...labels.flatMap((label) => ['--filter', `label=${label}`]));
    if (!/^[0-9a-f]+$/.test(id)) throw new Error(`there is not one container ${part}, but "${id}"`);
    return id;
  }

  async #compose(parameters: readonly string[], timeoutMs: number): Promise<string> {
    const [program = '', ...first] = this.#command;
    return await runCommand(program, [...first, ...this.#where, ...parameters], {
      cwd: ROOT,
      environment: this.#environment,
      timeoutMs,
    });
  }
  get #where(): readonly string[] {
    return ['-p', this.name, ...this.files.flatMap((file) => ['-f', file])];
  }
  get #environment(): NodeJS.ProcessEnv {
    return { ...process.env, ...this.variables };
  }
}
