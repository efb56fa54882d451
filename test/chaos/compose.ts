import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { sendRequest, until, type Answer, type Json, type RequestOptions, type Requester } from '../rest.js';

const ROOT = join(import.meta.dirname, '../..');
const PROJECT = 'quorate-chaos';
const PORTS = { QUORATE_GATEWAY1_PORT: '28080', QUORATE_GATEWAY2_PORT: '28081', QUORATE_NATS_PORT: '24222' };

/** `docker compose` (v2) or `docker-compose` (1.29): whichever is there. */
function composeCommand(): readonly string[] {
  for (const command of [['docker', 'compose'], ['docker-compose']]) {
    try {
      execFileSync(command[0] ?? '', [...command.slice(1), 'version'], { stdio: 'ignore' });
      return command;
    } catch {
      // the next one
    }
  }
  throw new Error('neither "docker compose" nor "docker-compose" is installed');
}

/** Docker's port forwarder accepts connections before anybody listens behind it: hence the time limit. */
async function ready(url: string): Promise<boolean> {
  const answer = await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(1000) }).catch(() => null);
  return answer?.status === 200;
}

/**
 * The shipped docker-compose.yml as a project of its own on other ports, with network cuts between its containers:
 * packets are dropped inside the containers' own network namespaces (root), so nothing of the host is touched.
 */
export class ComposeCluster implements Requester {
  readonly gateway1 = `http://127.0.0.1:${PORTS.QUORATE_GATEWAY1_PORT}`;
  readonly gateway2 = `http://127.0.0.1:${PORTS.QUORATE_GATEWAY2_PORT}`;
  readonly #command = composeCommand();
  #token = '';

  async up(): Promise<void> {
    this.down();
    this.#compose('build');
    this.#compose('up', '-d');
    this.#token = this.#compose(
      'run',
      '--rm',
      '--no-deps',
      '-T',
      'admin',
      'cat',
      '/cluster/admin.token',
    ).trim();
    for (const url of [this.gateway1, this.gateway2]) {
      await until(`${url} is ready`, async () => await ready(url), 60_000);
    }
    await this.leader();
  }

  /** Every container of the project is healthy, as its own health check says. */
  async healthy(): Promise<void> {
    const services = ['store1', 'store2', 'store3', 'gateway1', 'gateway2'];
    const health = (service: string): string => this.#inspect(service, '{{.State.Health.Status}}');
    await until(
      'all containers are healthy',
      () => services.every((service) => health(service) === 'healthy'),
      60_000,
    );
  }

  down(): void {
    this.#compose('down', '-v', '--remove-orphans');
  }

  request(method: string, path: string, options: RequestOptions = {}): Promise<Answer> {
    return sendRequest(this.gateway1, this.#token, method, path, options);
  }

  async leader(): Promise<number> {
    let leader = 0;
    await until('a leader is known', async () => {
      const { status, body } = await this.request('GET', '/v1/cluster');
      leader = status === 200 && body.quorum === true ? (body.leader ?? 0) : 0;
      return leader !== 0;
    });
    return leader;
  }

  /** All members hold the same state; returns its hash. */
  async converge(): Promise<string> {
    let hash = '';
    await until(
      'all members hold the same state',
      async () => {
        const { body } = await this.request('GET', '/v1/cluster');
        const states = (body.members ?? []).map(
          ({ status }: Json) => `${status?.revision} ${status?.stateHash}`,
        );
        if (states.length !== 3 || new Set(states).size !== 1 || states[0].startsWith('undefined'))
          return false;
        hash = body.members[0].status.stateHash;
        return true;
      },
      40_000,
    );
    return hash;
  }

  /** From now on no packet passes between these services, in either direction. */
  cut(service: string, others: readonly string[]): void {
    for (const other of others) {
      const address = this.#inspect(other, '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}');
      for (const [chain, side] of [
        ['INPUT', '-s'],
        ['OUTPUT', '-d'],
      ] as const) {
        this.#inNetworkOf(service, 'iptables', '-A', chain, side, address, '-j', 'DROP');
      }
    }
  }
  heal(service: string): void {
    this.#inNetworkOf(service, 'iptables', '-F');
  }

  #inNetworkOf(service: string, ...command: string[]): void {
    execFileSync('nsenter', ['-t', this.#inspect(service, '{{.State.Pid}}'), '-n', ...command]);
  }

  /** Found by label: Compose v1 and v2 name containers differently. */
  #inspect(service: string, format: string): string {
    const labels = [`com.docker.compose.project=${PROJECT}`, `com.docker.compose.service=${service}`];
    const filters = labels.flatMap((label) => ['--filter', `label=${label}`]);
    const id = execFileSync('docker', ['ps', '-q', ...filters], { encoding: 'utf8' }).trim();
    return execFileSync('docker', ['inspect', '-f', format, id], { encoding: 'utf8' }).trim();
  }

  #compose(...args: string[]): string {
    const [program = '', ...first] = this.#command;
    return execFileSync(program, [...first, '-p', PROJECT, ...args], {
      cwd: ROOT,
      encoding: 'utf8',
      env: { ...process.env, ...PORTS },
      stdio: ['ignore', 'pipe', process.env['VERBOSE'] === '1' ? 'inherit' : 'ignore'],
      maxBuffer: 64 * 1024 * 1024,
    });
  }
}
