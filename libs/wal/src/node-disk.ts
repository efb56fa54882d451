import {
  close,
  closeSync,
  existsSync,
  fdatasync,
  fdatasyncSync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  readdirSync,
  renameSync,
  rmSync,
  writeSync,
  writevSync,
} from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { Disk, DiskFile } from './disk.js';

/** The real file system. Every error is Node's own, with its `code`. */
export class NodeDisk implements Disk {
  makeDirectory(path: string): void {
    const firstCreated = mkdirSync(path, { recursive: true, mode: 0o700 });
    if (firstCreated === undefined) return;
    // P19: each new folder is a name in its parent.
    const last = dirname(resolve(firstCreated));
    for (let parent = dirname(resolve(path)); ; parent = dirname(parent)) {
      this.syncDirectory(parent);
      if (parent === last || parent === dirname(parent)) return;
    }
  }

  list(path: string): string[] {
    return existsSync(path) ? readdirSync(path) : [];
  }

  readFile(path: string): Uint8Array {
    return readFileSync(path);
  }

  openFile(path: string, options: { readonly create: boolean }): DiskFile {
    return new NodeFile(openSync(path, options.create ? 'wx+' : 'r+', 0o600));
  }

  rename(from: string, to: string): void {
    renameSync(from, to);
  }

  remove(path: string): void {
    rmSync(path);
  }

  syncDirectory(path: string): void {
    const descriptor = openSync(path, 'r');
    try {
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
  }
}

class NodeFile implements DiskFile {
  #syncsInFlight = 0;
  #closing = false;

  constructor(private readonly descriptor: number) {}

  get size(): number {
    return fstatSync(this.descriptor).size;
  }

  read(position: number, length: number): Uint8Array {
    const bytes = Buffer.allocUnsafeSlow(length);
    let done = 0;
    while (done < length) {
      const taken = readSync(this.descriptor, bytes, done, length - done, position + done);
      if (taken === 0) break;
      done += taken;
    }
    return bytes.subarray(0, done);
  }

  write(chunks: readonly Uint8Array[], position: number): number {
    const [first] = chunks;
    if (first !== undefined && chunks.length === 1) {
      return writeSync(this.descriptor, first, 0, first.length, position);
    }
    return writevSync(this.descriptor, chunks, position);
  }

  sync(callback: (error: Error | null) => void): void {
    this.#syncsInFlight += 1;
    fdatasync(this.descriptor, (error) => {
      this.#syncsInFlight -= 1;
      if (this.#closing) this.#release();
      callback(error);
    });
  }

  syncNow(): void {
    // With the size, if the file grew: what is needed to read the bytes back. No file here ever shrinks.
    fdatasyncSync(this.descriptor);
  }

  close(): void {
    this.#closing = true;
    this.#release();
  }

  /** Closing a number that a thread still syncs could sync, later, whatever file got that number next. */
  #release(): void {
    if (this.#syncsInFlight === 0) close(this.descriptor);
  }
}
