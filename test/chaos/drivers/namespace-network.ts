import { execFile, execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';

const SUBNET = '10.91.37';
const BRIDGE = 'quorate0';
/** Of this program itself, on the bridge: no cut concerns it. */
const RUNNER = 254;
const NAMES = '/run/netns';

/**
 * Network namespaces that are joined by a bridge (Linux, root): real packets between addresses of their own, so that a machine can vanish
 * from the network without a word. To be used by a program that is in a network namespace and a mount namespace of its own
 * (own-namespaces.ts): then the machine itself gets no interface, address, route or rule, no rule of the machine (a docker engine has some)
 * is in the way, and the kernel takes everything back when the last process has ended, however it ended.
 */
export class NamespaceNetwork {
  readonly #numbers = new Map<string, number>();

  constructor() {
    mkdirSync(NAMES, { recursive: true });
    // Names of namespaces are mounts: these are seen by this program only.
    run('mount', '-t', 'tmpfs', 'quorate', NAMES);
    run('ip', 'link', 'set', 'lo', 'up');
    run('ip', 'link', 'add', BRIDGE, 'type', 'bridge');
    run('ip', 'addr', 'add', `${SUBNET}.${RUNNER}/24`, 'dev', BRIDGE);
    run('ip', 'link', 'set', BRIDGE, 'up');
  }

  /** A namespace more, with the address that ends with this number (1 to 253). */
  add(name: string, number: number): void {
    this.#numbers.set(name, number);
    const outside = `q-${name}`;
    run('ip', 'netns', 'add', name);
    run('ip', 'link', 'add', outside, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name);
    run('ip', 'link', 'set', outside, 'master', BRIDGE, 'up');
    run('ip', '-n', name, 'addr', 'add', `${SUBNET}.${number}/24`, 'dev', 'eth0');
    run('ip', '-n', name, 'link', 'set', 'eth0', 'up');
    run('ip', '-n', name, 'link', 'set', 'lo', 'up');
  }

  get names(): readonly string[] {
    return [...this.#numbers.keys()];
  }
  address(name: string): string {
    return `${SUBNET}.${this.#numbers.get(name) ?? 0}`;
  }

  /** Words before a command that is to run there. It keeps its pid and, unlike with `ip netns exec`, its mounts. */
  prefix(name: string): readonly string[] {
    return ['nsenter', `--net=${NAMES}/${name}`];
  }

  /** Down: no packet passes to or from there any more, and nobody is told. */
  setLink(name: string, state: 'up' | 'down'): void {
    run('ip', 'link', 'set', `q-${name}`, state);
  }

  /** Runs a command there to its end, with this text as its input. Rejects with what it complained of. */
  async run(name: string, command: readonly string[], input: string): Promise<void> {
    const [program = '', ...parameters] = [...this.prefix(name), ...command];
    await new Promise<void>((resolve, reject) => {
      const child = execFile(program, parameters, (error, _, complaint) => {
        if (error === null) resolve();
        else reject(new Error(`${command.join(' ')} in ${name}: ${complaint.trim()}`, { cause: error }));
      });
      child.stdin?.on('error', () => undefined);
      child.stdin?.end(input);
    });
  }

  destroy(): void {
    for (const name of this.#numbers.keys()) {
      // Now, and not when the kernel comes to take the namespace apart: the next network has the same names.
      tryRun('ip', 'link', 'del', `q-${name}`);
      tryRun('ip', 'netns', 'del', name);
    }
    tryRun('ip', 'link', 'del', BRIDGE);
    tryRun('umount', NAMES);
    this.#numbers.clear();
  }
}

function run(command: string, ...parameters: string[]): void {
  execFileSync(command, parameters, { stdio: ['ignore', 'ignore', 'pipe'] });
}

function tryRun(command: string, ...parameters: string[]): void {
  try {
    run(command, ...parameters);
  } catch {
    // It was never made, or is gone already.
  }
}
