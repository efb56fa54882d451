import { complainIf, find, NOT_FORMATTED, Player, STILL, Violation } from './crash-points.testing.js';
import type { SearchResult } from './crash-points.testing.js';
import { decodeRecord } from './record.js';
import { decodeHeader, SEGMENT_HEADER_BYTES, SEGMENT_START_BYTES, segmentName } from './segment.js';
import { SimulatedDisk } from './simulated-disk.js';
import { DIRECTORY } from './simulated-machine.testing.js';
import { damageWorkload } from './workloads.testing.js';
import type { DamageEnd } from './workloads.testing.js';

/** What a search over damaged disks found. `shortened`: losses that no single member can see, all of them of the kinds that are known. */
export interface DamageResult extends SearchResult {
  readonly shortened: number;
}

export type Files = ReadonlyMap<string, Uint8Array>;

/** One record as it lies on the disk. */
export interface PlacedRecord {
  readonly path: string;
  readonly start: number;
  readonly end: number;
  readonly bytes: Uint8Array;
  /** So many records, marks and the starts of segments not counted, come before its end. */
  readonly ordinal: number;
}

export function segmentPath(segmentNumber: number): string {
  return `${DIRECTORY}/${segmentName(segmentNumber)}`;
}

export function readFiles(disk: SimulatedDisk): Map<string, Uint8Array> {
  const paths = disk.files().map(({ path }) => path);
  return new Map(paths.sort().map((path) => [path, disk.readFile(path)]));
}

function segmentsIn(files: Files): [string, Uint8Array][] {
  return [...files].filter(([path]) => path.endsWith('.wal'));
}

/** The valid records of a log, segment by segment, each up to the first bad one. `before`: so many were in segments that are gone. */
export function recordsOf(files: Files, before = 0): PlacedRecord[] {
  const records: PlacedRecord[] = [];
  let ordinal = before;
  for (const [path, content] of segmentsIn(files)) {
    const bytes = Buffer.from(content);
    const { checksum } = decodeHeader(bytes, path.slice(DIRECTORY.length + 1));
    for (let start = SEGMENT_HEADER_BYTES; ;) {
      const decoded = decodeRecord(bytes, checksum, start);
      if (decoded === null) break;
      if (decoded.record.type !== 'syncMark' && start >= SEGMENT_START_BYTES) ordinal += 1;
      records.push({ path, start, end: decoded.end, bytes: bytes.subarray(start, decoded.end), ordinal });
      start = decoded.end;
    }
  }
  return records;
}

/**
 * Whether the first bad record gives itself away, by the rule of FORMAT.md: a segment follows, or a valid record further on
 * was written when it was known durable. True also if there is no bad record.
 */
export function isDetectable(files: Files): boolean {
  const [path, content] = segmentsIn(files).at(-1) ?? ['', new Uint8Array()];
  const before = new Map(segmentsIn(files).slice(0, -1));
  const endOf = (records: readonly PlacedRecord[], of: string): number =>
    records.findLast((record) => record.path === of)?.end ?? SEGMENT_HEADER_BYTES;
  const earlier = recordsOf(before);
  // Each segment says where the records of the one before it ended.
  for (const [at, [next, bytes]] of segmentsIn(files).slice(1).entries()) {
    const previous = segmentsIn(files)[at]?.[0] ?? '';
    const header = decodeHeader(Buffer.from(bytes), next.slice(DIRECTORY.length + 1));
    if (header.previousSegmentBytes !== endOf(earlier, previous)) return true;
  }
  const bad = endOf(recordsOf(new Map([[path, content]])), path);
  if (bad === content.length || bad < SEGMENT_START_BYTES) return true;
  const bytes = Buffer.from(content);
  const { checksum } = decodeHeader(bytes, path.slice(DIRECTORY.length + 1));
  for (let offset = bad + 8; offset < bytes.length; offset += 8) {
    if ((decodeRecord(bytes, checksum, offset)?.syncedOffset ?? 0) > bad) return true;
  }
  return false;
}

/** A log of several segments in which everything was reported durable, and the search for damage to it that is not seen. */
class DamageSearch {
  outcomes = 0;
  shortened = 0;
  readonly #player: Player;
  readonly #files: Map<string, Uint8Array>;
  /** Of the segments, in order. */
  readonly #paths: readonly string[];
  readonly #snapshots: readonly string[];
  /** So many records were in segments that are compacted away. */
  readonly #recordsBefore: number;
  readonly #records: readonly PlacedRecord[];

  constructor(end: DamageEnd) {
    this.#player = new Player(damageWorkload(end));
    this.#player.run();
    this.#files = readFiles(this.#player.disk);
    this.#paths = segmentsIn(this.#files).map(([path]) => path);
    this.#snapshots = [...this.#files.keys()].filter((path) => !this.#paths.includes(path));
    const recordsTotal = this.#player.models.length - 1;
    this.#recordsBefore = recordsTotal - (recordsOf(this.#files).at(-1)?.ordinal ?? 0);
    this.#records = recordsOf(this.#files, this.#recordsBefore);
    const isWhole = this.#player.floor === this.#player.models.length - 1;
    const isCompacted = this.#snapshots.length > 0 && this.#recordsBefore > 0;
    if (!isWhole || this.#paths.length < 4 || isCompacted !== end.includes('snapshot'))
      throw new Violation('the log to damage is not as intended');
  }

  /** Every byte of every file, and every bit of it or another one each time. */
  flips(bits: 'all bits' | 'one bit'): void {
    for (const [path, bytes] of this.#files) {
      for (let offset = 0; offset < bytes.length; offset += 1) {
        for (let bit = 0; bit < 8; bit += 1) {
          if (bits === 'one bit' && bit !== (offset * 5) % 8) continue;
          const flipped = bytes.slice();
          flipped[offset] = (flipped[offset] ?? 0) ^ (1 << bit);
          this.#seen(`bit ${bit} of byte ${offset} of ${path} flipped`, path, flipped);
        }
      }
    }
  }

  /** Every length of every file. Only the last one has no successor that knows how long it was. */
  truncations(): void {
    for (const [path, bytes] of this.#files) {
      for (let size = 0; size < bytes.length; size += 1) {
        const what = `${path} cut at ${size}`;
        const isLast = path === this.#paths.at(-1);
        if (!isLast || size < SEGMENT_START_BYTES) this.#seen(what, path, bytes.slice(0, size));
        else {
          const whole = this.#records.filter((record) => record.path !== path || record.end <= size);
          this.#shortened(
            what,
            new Map([...this.#files, [path, bytes.slice(0, size)]]),
            whole.at(-1)?.ordinal ?? this.#recordsBefore,
          );
        }
      }
    }
  }

  /** Zeros, noise, and every record and segment of the same log, behind the end of each file and in the place of each record. */
  strayBytes(): void {
    const noise = Uint8Array.from({ length: 200 }, (_, at) => (at * 167 + 13) % 251);
    const strays = [
      ...[1, 7, 8, 16, 512, 4096].map((length) => new Uint8Array(length)),
      ...[1, 8, 40, 200].map((length) => noise.slice(0, length)),
      ...this.#records.map(({ bytes }) => bytes),
      ...this.#files.values(),
    ];
    for (const [path, bytes] of this.#files) {
      for (const [number, stray] of strays.entries()) {
        this.#seen(`stray bytes ${number} behind ${path}`, path, Buffer.concat([bytes, stray]));
        for (const { start, path: home } of this.#records) {
          if (home !== path) continue;
          const overwritten = Buffer.alloc(Math.max(bytes.length, start + stray.length));
          overwritten.set(bytes);
          overwritten.set(stray, start);
          const what = `stray bytes ${number} at byte ${start} of ${path}`;
          const files = new Map([...this.#files, [path, overwritten]]);
          if (isDetectable(files)) this.#refusedOrWhole(what, files);
          else this.#shortened(what, files, recordsOf(files, this.#recordsBefore).at(-1)?.ordinal ?? 0);
        }
      }
    }
  }

  /** Snapshots that are missing, under another name, longer, or made of one's beginning and another's end. */
  snapshots(): void {
    for (const path of this.#snapshots) {
      const without = new Map(this.#files);
      without.delete(path);
      this.#refusedOrWhole(`${path} missing`, without);
      const mine = this.#bytes(path);
      for (const length of [1, 8, 512]) {
        this.#seen(`${length} bytes behind ${path}`, path, Buffer.concat([mine, new Uint8Array(length)]));
      }
      for (const other of [...this.#snapshots, `${DIRECTORY}/snapshot-0000000000000099`]) {
        if (other === path) continue;
        this.#seen(`${path} as ${other}`, other, mine);
        const theirs = this.#bytes(other);
        for (const at of [80, 88, Math.max(88, mine.length - 24)]) {
          const mixed = Buffer.concat([mine.slice(0, at), theirs.slice(at)]);
          this.#seen(`${path} with what ${other} has from byte ${at}`, path, mixed);
        }
      }
    }
  }

  /** Segments that are missing, exchanged, doubled, or made of one's header and another's records. */
  segments(): void {
    for (const [place, path] of this.#paths.entries()) {
      const without = new Map(this.#files);
      without.delete(path);
      const isLast = place === this.#paths.length - 1;
      if (!isLast) this.#refusedOrWhole(`${path} missing`, without);
      else {
        const before = this.#records.findLast((record) => record.path !== path);
        this.#shortened(`${path} missing`, without, before?.ordinal ?? this.#recordsBefore);
      }
      for (const other of [...this.#paths, segmentPath(90)]) {
        if (other === path) continue;
        const mine = this.#bytes(path);
        const theirs = this.#files.get(other) ?? new Uint8Array();
        this.#refusedOrWhole(`${path} also as ${other}`, new Map([...this.#files, [other, mine]]));
        if (theirs.length === 0) continue;
        this.#refusedOrWhole(
          `${path} and ${other} exchanged`,
          new Map([...this.#files, [other, mine], [path, theirs]]),
        );
        const mixed = Buffer.concat([
          mine.slice(0, SEGMENT_HEADER_BYTES),
          theirs.slice(SEGMENT_HEADER_BYTES),
        ]);
        // The last segment cannot know its own length: foreign records in it are a torn tail.
        if (isLast)
          this.#shortened(
            `${path} with the records of ${other}`,
            new Map([...this.#files, [path, mixed]]),
            this.#ordinalBefore(path),
          );
        else this.#seen(`${path} with the records of ${other}`, path, mixed);
      }
    }
  }

  #ordinalBefore(path: string): number {
    return this.#records.findLast((record) => record.path < path)?.ordinal ?? this.#recordsBefore;
  }

  #bytes(path: string): Uint8Array {
    return this.#files.get(path) ?? new Uint8Array();
  }

  #seen(what: string, path: string, bytes: Uint8Array): void {
    this.#refusedOrWhole(what, new Map([...this.#files, [path, bytes]]));
  }

  #refusedOrWhole(what: string, files: Files): void {
    const found = this.#find(what, files);
    const isRight = found === this.#player.keysLike(found).at(-1) || found.startsWith('refused');
    complainIf(isRight ? null : `${what}: found (${found})`);
  }

  /** The known limit: exactly the records up to there are found, as if no more had been written. */
  #shortened(what: string, files: Files, ordinal: number): void {
    const found = this.#find(what, files);
    if (found.startsWith('refused')) return;
    const keys = this.#player.keysLike(found);
    complainIf(found === keys[ordinal] ? null : `${what}: found (${found})`);
    if (found !== keys.at(-1)) this.shortened += 1;
  }

  #find(what: string, files: Files): string {
    this.outcomes += 1;
    const disk = new SimulatedDisk(STILL);
    for (const [path, bytes] of files) disk.plant(path, bytes);
    try {
      const found = find(disk, this.#player.workload.options, 'snapshots');
      if (found === NOT_FORMATTED) throw new Violation('not formatted');
      return found;
    } catch (error) {
      throw new Violation(`${what}: ${String(error)}`, { cause: error });
    }
  }
}

/** Every kind of damage to a log that was written and reported whole: it is refused, or nothing of it is lost. */
export function searchDamage(): DamageResult {
  let violation: string | null = null;
  const searches: DamageSearch[] = [];
  try {
    for (const end of ['closed', 'idle', 'just rotated', 'one snapshot', 'two snapshots'] as const) {
      const search = new DamageSearch(end);
      searches.push(search);
      search.segments();
      search.snapshots();
      search.truncations();
      search.flips(end === 'closed' ? 'all bits' : 'one bit');
      if (end === 'closed') search.strayBytes();
    }
  } catch (error) {
    violation = error instanceof Violation ? error.message : `unexpected: ${String(error)}`;
  }
  return {
    violation,
    crashPoints: searches.length,
    outcomes: searches.reduce((sum, { outcomes }) => sum + outcomes, 0),
    shortened: searches.reduce((sum, { shortened }) => sum + shortened, 0),
  };
}
