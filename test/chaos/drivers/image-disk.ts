import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
  statfsSync,
} from 'node:fs';
import { join } from 'node:path';
import { until } from '../../rest.js';
import { failureOf, runCommand } from './command.js';

/** As the kernel's uapi header names it: the file system fails everything from now on, and writes nothing more, as when the power goes. */
const EXT4_IOC_SHUTDOWN = '0x8004587d';
const NO_FLUSH = 2;
const SHUTDOWN_PROGRAM = `my $flags = pack("L", ${NO_FLUSH}); open(my $file, "<", $ARGV[0]) or die $!; ioctl($file, ${EXT4_IOC_SHUTDOWN}, $flags) or die $!`;
/** Its name is none of a member's own, and it lies where only root can take it away. */
const FILL = '..fill';
const FILL_REST_BYTES = 1 << 20;
const ANCHOR = '..anchor';
const UNMOUNT_TIMEOUT_MS = 20_000;

/** A file system of its own in a file (Linux, root): it can be full, read-only, frozen, or lose its power. */
export class ImageDisk {
  readonly #image: string;

  private constructor(readonly mountPoint: string) {
    this.#image = `${mountPoint}.ext4`;
  }

  /** For whoever uses the disk: nothing of ours lies in it. */
  get dataFolder(): string {
    return join(this.mountPoint, 'data');
  }
  /** As the kernel numbers it: `7:3`. */
  get device(): string {
    const { dev } = statSync(this.mountPoint);
    return `${(dev >> 8) & 0xfff}:${(dev & 0xff) | ((dev >> 12) & 0xfff00)}`;
  }

  /** Makes and mounts it at a folder that is made as well; its data folder belongs to `owner`. Rejects where that cannot be done. */
  static async make(mountPoint: string, bytes: number, owner: number): Promise<ImageDisk> {
    const disk = new ImageDisk(mountPoint);
    mkdirSync(mountPoint, { recursive: true });
    await runCommand('truncate', ['-s', String(bytes), disk.#image]);
    await runCommand('mkfs.ext4', ['-q', '-m', '0', disk.#image]);
    await disk.mount();
    await runCommand('mkdir', [disk.dataFolder]);
    await runCommand('chown', [`${owner}:${owner}`, disk.dataFolder]);
    await runCommand('sync', ['-f', mountPoint]);
    return disk;
  }

  async mount(): Promise<void> {
    await runCommand('mount', ['-o', 'loop', this.#image, this.mountPoint]);
    // Whoever cuts the power needs a file, which must be there already when the disk is full. And it shows that this is no old, dead mount.
    await runCommand('touch', [join(this.mountPoint, ANCHOR)]);
  }

  /**
   * Waits until nobody uses it any more: a thread of a process that was killed may still sync, and a mount of the data folder elsewhere would
   * keep the file system alive, so that the next mount would find it as it was.
   */
  async unmount(): Promise<void> {
    let failure: string | null = null;
    await until(
      `nobody uses ${this.mountPoint}`,
      async () => {
        if (isMountedElsewhere(this.mountPoint)) {
          failure = 'it is mounted elsewhere as well';
          return false;
        }
        // Whoever has made a mount namespace meanwhile has a copy of this mount in it.
        for (const pid of strangersWith(this.mountPoint))
          await failureOf('nsenter', ['--target', pid, '--mount', '--', 'umount', this.mountPoint]);
        failure = await failureOf('umount', [this.mountPoint]);
        return failure === null;
      },
      UNMOUNT_TIMEOUT_MS,
    ).catch((error: unknown) => {
      throw new Error(failure ?? 'it cannot be unmounted', { cause: error });
    });
  }

  /** Nothing that was not synced is there after the next mount. */
  async cutPower(): Promise<void> {
    await runCommand('perl', ['-e', SHUTDOWN_PROGRAM, join(this.mountPoint, ANCHOR)]);
  }

  /** As after a failed write of its journal: every write is refused (EROFS), also to files that are open. Only a new mount ends it. */
  async refuseWrites(): Promise<void> {
    await runCommand('mount', ['-o', 'remount,abort', this.mountPoint]);
  }

  /** No write or sync returns until it is thawed. */
  async freeze(): Promise<void> {
    await runCommand('fsfreeze', ['--freeze', this.mountPoint]);
  }
  async thaw(): Promise<void> {
    await runCommand('fsfreeze', ['--unfreeze', this.mountPoint]);
  }

  /** Until not a block is left. */
  async fill(): Promise<void> {
    const name = join(this.mountPoint, FILL);
    const { bavail, bsize } = statfsSync(this.mountPoint);
    // Most of it at once and without writing it. That there is no room left for the rest is what is wanted.
    const bytes = Math.max(bsize, bavail * bsize - FILL_REST_BYTES);
    await failureOf('fallocate', ['-l', String(bytes), name]);
    await failureOf('dd', ['if=/dev/zero', `of=${name}.rest`, 'bs=4k']);
  }
  makeRoom(): void {
    for (const name of [FILL, `${FILL}.rest`]) rmSync(join(this.mountPoint, name), { force: true });
  }
}

/** Takes away whatever is mounted below a folder, thawed first, without waiting: for the end of a program, or what a killed one left behind. */
export function unmountBelow(prefix: string): void {
  const quietly = (command: string, ...parameters: string[]): void => {
    try {
      execFileSync(command, parameters, { stdio: 'ignore', timeout: 10_000 });
    } catch {
      // It was not frozen, or is gone already.
    }
  };
  for (const mountPoint of mountPointsBelow(prefix)) {
    quietly('fsfreeze', '--unfreeze', mountPoint);
    quietly('umount', '--lazy', mountPoint);
  }
}

function mountPointsBelow(prefix: string): readonly string[] {
  return mounts()
    .map(({ mountPoint }) => mountPoint)
    .filter((mountPoint) => mountPoint.startsWith(prefix));
}

function isMountedElsewhere(mountPoint: string): boolean {
  const all = mounts();
  const device = all.find((mount) => mount.mountPoint === mountPoint)?.device;
  return all.filter((mount) => mount.device === device).length > 1;
}

/** One process of each other mount namespace in which this is mounted as well. */
function strangersWith(mountPoint: string): readonly string[] {
  const namespaces = new Map<string, string>();
  const own = readlinkSync('/proc/self/ns/mnt');
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const namespace = readlinkSync(`/proc/${pid}/ns/mnt`);
      if (namespace === own || namespaces.has(namespace)) continue;
      if (readFileSync(`/proc/${pid}/mounts`, 'utf8').includes(` ${mountPoint} `))
        namespaces.set(namespace, pid);
    } catch {
      // It has ended meanwhile.
    }
  }
  return [...namespaces.values()];
}

function mounts(): readonly { readonly device: string; readonly mountPoint: string }[] {
  if (!existsSync('/proc/self/mounts')) return [];
  const lines = readFileSync('/proc/self/mounts', 'utf8').trim().split('\n');
  return lines.map((line) => {
    const [device = '', mountPoint = ''] = line.split(' ');
    return { device, mountPoint };
  });
}
