import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';

const LIBRARY = 'faketime/libfaketime.so.1';
const OFFSET = 'offset';
const INSTALL_TIMEOUT_MS = 120_000;
/** How often a process looks into its file; each look-up between costs 0.3 µs instead of 5. */
const LOOK_EVERY_S = 1;
/** Once a value was read 1.2 s after it had been replaced. */
export const CLOCK_SETTLE_MS = 2_000;

/** Where libfaketime lies; null: it is not there and cannot be had (Debian and its like, as root, can). */
export function findFakeClock(): string | null {
  const find = (): string | null =>
    libraryFolders()
      .map((folder) => join(folder, LIBRARY))
      .find(existsSync) ?? null;
  const found = find();
  if (found !== null || process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get')) return found;
  try {
    execFileSync('/usr/bin/apt-get', ['install', '-y', '--no-install-recommends', 'libfaketime'], {
      stdio: 'ignore',
      timeout: INSTALL_TIMEOUT_MS,
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    });
  } catch {
    // No network, or lists that are too old.
  }
  return find();
}

function libraryFolders(): readonly string[] {
  const folders = ['/usr/lib', '/usr/lib64', '/usr/local/lib'];
  return folders.flatMap((folder) =>
    existsSync(folder) ? [folder, ...readdirSync(folder).map((name) => join(folder, name))] : [],
  );
}

/** The wall clock of one part. Its monotonic clock and its timers go on as they are. */
export class FakeClock {
  readonly #file: string;
  /** Where the process finds both. */
  readonly #seen: { readonly library: string; readonly folder: string };

  /** `inside`: what a container calls the folder, into which the library is then copied; null: the process is on this machine. */
  constructor(
    library: string,
    readonly folder: string,
    inside: string | null = null,
  ) {
    mkdirSync(folder, { recursive: true });
    if (inside !== null) copyFileSync(library, join(folder, basename(library)));
    this.#seen =
      inside === null ? { library, folder } : { library: join(inside, basename(library)), folder: inside };
    this.#file = join(folder, OFFSET);
    this.set(0);
  }

  /** The folder, not the file: a file that is replaced would stay the old one inside. */
  get volume(): string {
    return `${this.folder}:${this.#seen.folder}:ro`;
  }
  get environment(): Readonly<Record<string, string>> {
    return {
      LD_PRELOAD: this.#seen.library,
      FAKETIME_TIMESTAMP_FILE: join(this.#seen.folder, OFFSET),
      FAKETIME_CACHE_DURATION: String(LOOK_EVERY_S),
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
    };
  }

  set(offsetMs: number): void {
    // In one step: a file that is half written would be no time at all.
    writeFileSync(`${this.#file}.new`, `${offsetMs < 0 ? '-' : '+'}${Math.abs(offsetMs) / 1_000}s\n`);
    renameSync(`${this.#file}.new`, this.#file);
  }
}
