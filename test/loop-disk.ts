import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from './rest.js';

const DISK_BYTES = 48 * 1024 * 1024;
/** As the kernel's uapi header names it: the file system fails everything from now on, and writes nothing more, as when the power goes. */
const EXT4_IOC_SHUTDOWN = '0x8004587d';
const NO_FLUSH = 2;

function run(command: string, ...parameters: string[]): void {
  execFileSync(command, parameters, { stdio: ['ignore', 'ignore', 'pipe'] });
}

/** A file system of its own, in a file (Linux, root). */
export class LoopDisk {
  readonly #image: string;

  /** `folder`: where the file lies. It takes up what is written, not `bytes`. */
  constructor(
    folder: string,
    readonly mountPoint: string,
    bytes = DISK_BYTES,
  ) {
    this.#image = join(folder, `${mountPoint.replaceAll('/', '_')}.ext4`);
    run('truncate', '-s', String(bytes), this.#image);
    run('mkfs.ext4', '-q', '-m', '0', this.#image);
  }

  mount(options = 'loop'): void {
    run('mount', '-o', options, this.#image, this.mountPoint);
  }
  /** A thread of a process that was killed may still sync. */
  async unmount(): Promise<void> {
    await until('nobody uses the disk', () => {
      try {
        run('umount', this.mountPoint);
        return true;
      } catch {
        return false;
      }
    });
  }
  /** For the end of a program, which cannot wait: it is gone when its last user is. */
  detach(): void {
    run('umount', '--lazy', this.mountPoint);
  }
  /** Nothing that was not synced is on the disk afterwards. */
  cutPower(): void {
    const program = `my $flags = pack("L", ${NO_FLUSH}); open(my $f, "<", $ARGV[0]) or die $!; ioctl($f, ${EXT4_IOC_SHUTDOWN}, $flags) or die $!`;
    run('perl', '-e', program, this.mountPoint);
  }
  /** Read-only at once, also for files that are open for writing, as after an error of the device. Only unmounting undoes it. */
  abort(): void {
    run('mount', '-o', 'remount,abort', this.mountPoint);
  }
  freeze(): void {
    run('fsfreeze', '--freeze', this.mountPoint);
  }
  thaw(): void {
    run('fsfreeze', '--unfreeze', this.mountPoint);
  }
  fill(): void {
    try {
      const { bavail, bsize } = statfsSync(this.mountPoint);
      // Taken without being written, which is quicker; what is left then is written.
      run('fallocate', '-l', String(bavail * bsize), this.#filling);
    } catch {
      // A little less than all can be taken in this way.
    }
    try {
      run('dd', 'if=/dev/zero', `of=${this.#filling}`, 'bs=64k', 'oflag=append', 'conv=notrunc');
    } catch {
      // That there is no room left is what was wanted.
    }
  }
  makeRoom(): void {
    rmSync(this.#filling, { force: true });
  }
  get #filling(): string {
    return join(this.mountPoint, '..fill');
  }
}

/** Root, and a kernel that mounts files. */
export function canMount(): boolean {
  const folder = mkdtempSync(join(tmpdir(), 'quorate-loop-'));
  try {
    const disk = new LoopDisk(folder, folder);
    disk.mount();
    run('umount', folder);
    return true;
  } catch {
    return false;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
