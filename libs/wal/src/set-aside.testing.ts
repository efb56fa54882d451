import { complainIf, find, isDiskError, Player, STILL, Violation } from './crash-points.testing.js';
import type { SearchResult } from './crash-points.testing.js';
import { inject, FAULTS_BY_OPERATION } from './disk-faults.testing.js';
import type { ReportedFault } from './disk-faults.testing.js';
import { isSegmentName } from './segment.js';
import { setAsideAndFormat } from './set-aside.js';
import type { SimulatedDisk } from './simulated-disk.js';
import { DIRECTORY, IDENTITY } from './simulated-machine.testing.js';
import { indexOfName } from './snapshot-layout.js';
import { SNAPSHOT_WORKLOADS, WORKLOADS } from './workloads.testing.js';
import type { Workload } from './workloads.testing.js';

/**
 * A log is set aside, stopped before each disk operation, with every outcome of a power loss there, with a death of the process, and with
 * each error of the disk; then it is done again, stopped likewise, and so on. Whatever is found on the way is the log as it was,
 * whole; or a refusal that says what to do, with every file still there; or the new log with its recovery.
 */

/** Drawn by the first call, and by all that follow: theirs is the one that counts. */
const FIRST = 5;
const AGAIN = 6;
const OUTCOMES_MAX = 512;

/** Names and bytes of the segments and snapshots. */
type Files = ReadonlyMap<string, string>;

function filesOf(disk: SimulatedDisk): Map<string, string> {
  const bytesOf = (name: string): string =>
    Buffer.from(disk.readFile(`${DIRECTORY}/${name}`)).toString('latin1');
  return new Map(
    disk
      .list(DIRECTORY)
      .toSorted()
      .map((name) => [name, bytesOf(name)]),
  );
}

function isOfLog(name: string): boolean {
  return isSegmentName(name) || indexOfName(name) !== null;
}

class SetAsideSearch {
  crashPoints = 0;
  outcomes = 0;
  readonly #start: SimulatedDisk;
  readonly #options: Workload['options'];
  /** What may be found while nothing was renamed. */
  readonly #before: ReadonlySet<string>;
  /** The log, as it is to be set aside, and what was set aside before. */
  readonly #log: Files;
  readonly #earlier: Files;
  /** The bytes may not be compared if a power loss could still change them. */
  readonly #isSettled: boolean;
  readonly #explored = new Set<string>();

  constructor(start: SimulatedDisk, options: Workload['options']) {
    this.#start = start;
    this.#options = options;
    this.#isSettled = start.files().every(({ unsynced }) => unsynced === 0);
    this.#log = new Map([...filesOf(start)].filter(([name]) => isOfLog(name)));
    this.#earlier = new Map([...filesOf(start)].filter(([name]) => name.startsWith('set-aside-')));
    this.#before = new Set(this.#crashes(start).map((crashed) => find(crashed, options)));
  }

  run(): void {
    this.#explore(this.#start, FIRST);
    for (const [at, operation] of this.#operations().entries())
      for (const fault of FAULTS_BY_OPERATION[operation] ?? []) this.#withFault(at, fault, operation);
  }

  /** Every stop of one call, from this disk on; and of the next one, from each disk that comes of it. */
  #explore(from: SimulatedDisk, recovery: number): void {
    const disk = from.fork(STILL);
    const visit = (): void => {
      this.crashPoints += 1;
      for (const crashed of this.#crashes(disk)) this.#crashed(crashed);
    };
    // A violation that is thrown from inside an operation comes out below: nothing here takes it for an error of the disk.
    disk.onOperation = visit;
    const names = setAsideAndFormat(disk, DIRECTORY, IDENTITY, recovery);
    disk.onOperation = null;
    complainIf(names.length >= this.#log.size ? null : `only ${names.join()} were set aside`);
    for (const crashed of [disk, ...this.#crashes(disk)]) this.#judgeNew(crashed, recovery);
  }

  #crashes(disk: SimulatedDisk): SimulatedDisk[] {
    return disk.crashOutcomes(OUTCOMES_MAX).choices.map((choice) => {
      this.outcomes += 1;
      const crashed = disk.fork(STILL);
      crashed.crash(choice);
      return crashed;
    });
  }

  #crashed(disk: SimulatedDisk): void {
    const content = JSON.stringify([...filesOf(disk)]);
    if (this.#explored.has(content)) return;
    this.#explored.add(content);
    this.#judge(disk);
    const isNew = find(disk.fork(STILL), this.#options).startsWith('recovery');
    if (!isNew) this.#explore(disk, AGAIN);
  }

  #judge(disk: SimulatedDisk): void {
    const found = find(disk.fork(STILL), this.#options);
    if (found.startsWith(`recovery ${FIRST},`)) return this.#judgeNew(disk, FIRST);
    if (found.startsWith(`recovery ${AGAIN},`)) return this.#judgeNew(disk, AGAIN);
    if (found.includes('set-aside')) return this.#judgeHeld(disk);
    complainIf(this.#before.has(found) ? null : `found (${found})`);
    for (const [name, bytes] of this.#log)
      complainIf(!this.#isSettled || filesOf(disk).get(name) === bytes ? null : `${name} is not as it was`);
  }

  /** The new log, empty, and all of the old one beside it. */
  #judgeNew(disk: SimulatedDisk, recovery: number): void {
    const found = find(disk.fork(STILL), this.#options);
    const wanted = `recovery ${recovery}, term 0, vote null, commit 0, `;
    complainIf(found === wanted ? null : `found (${found}) instead of the new log`);
    this.#judgeHeld(disk);
    const others = disk.list(DIRECTORY).filter((name) => !name.startsWith('set-aside-'));
    complainIf(others.join() === '00000001.wal' ? null : `beside the new log there is ${others.join()}`);
  }

  /** Each file is there once, under its own name or set aside. */
  #judgeHeld(disk: SimulatedDisk): void {
    const files = filesOf(disk);
    const isRight = (name: string, bytes: string): boolean =>
      this.#isSettled ? files.get(name) === bytes : files.has(name);
    for (const [name, bytes] of this.#earlier)
      complainIf(isRight(name, bytes) ? null : `${name}, set aside earlier, is gone`);
    for (const [name, bytes] of this.#log) {
      const asides = [...files.keys()].filter((one) => !this.#earlier.has(one) && one.endsWith(`-${name}`));
      const places = [name, ...asides].filter((place) => isRight(place, bytes));
      // The new log has a first segment too.
      const isThere = this.#isSettled ? places.length === 1 : places.length >= 1;
      complainIf(isThere ? null : `${name} is there as (${places.join()})`);
    }
  }

  #operations(): string[] {
    const operations: string[] = [];
    const disk = this.#start.fork(STILL);
    disk.onOperation = (operation) => operations.push(operation);
    setAsideAndFormat(disk, DIRECTORY, IDENTITY, FIRST);
    return operations;
  }

  /** The process dies of an error, or just so; the page cache lives on, and the next process goes on with that. */
  #withFault(at: number, fault: ReportedFault, operation: string): void {
    const disk = this.#start.fork({ ...STILL, random: () => 0.5 });
    let count = 0;
    disk.onOperation = () => {
      count += 1;
      if (count === at + 1) inject(disk, fault, operation);
      if (count === at + 2 && fault === 'short, then ENOSPC') disk.nextWriteFault = 'ENOSPC';
    };
    try {
      setAsideAndFormat(disk, DIRECTORY, IDENTITY, FIRST);
      complainIf(fault === 'short' ? null : `${fault} was overlooked`);
    } catch (error) {
      if (!isDiskError(error)) throw error;
    }
    disk.kill();
    disk.onOperation = null;
    this.#judge(disk);
    for (const crashed of this.#crashes(disk)) this.#crashed(crashed);
    if (!find(disk.fork(STILL), this.#options).startsWith('recovery')) this.#explore(disk, AGAIN);
  }
}

function settled(player: Player): SimulatedDisk {
  const disk = player.disk.fork();
  disk.crash();
  return disk;
}

function played(workload: Workload): Player {
  const player = new Player(workload);
  player.run();
  return player;
}

function workloadNamed(wanted: string): Workload {
  const found = [...WORKLOADS, ...SNAPSHOT_WORKLOADS].find(({ name }) => name === wanted);
  if (found === undefined) throw new Violation('no such workload');
  return found;
}

/** A sound log (if a part of it opened, that would show), a damaged one, one with much in the page cache, and one after another. */
function starts(): [string, SimulatedDisk, Workload['options']][] {
  const several = workloadNamed('entries that replaced those of a removed segment');
  const sound = settled(played(several));
  const damaged = sound.fork();
  damaged.flipBit(`${DIRECTORY}/00000004.wal`, 100);
  for (const name of ['00000001.wal.tmp', '00000006.wal.tmp', 'snapshot-0000000000000099.tmp'])
    damaged.plant(`${DIRECTORY}/${name}`, new Uint8Array(8));
  const one = workloadNamed('a stale tail behind a lost batch');
  const second = damaged.fork();
  setAsideAndFormat(second, DIRECTORY, IDENTITY, 4);
  const path = `${DIRECTORY}/00000001.wal`;
  second.plant(path, settled(played(one)).readFile(path));
  return [
    ['a sound log', sound, several.options],
    ['a damaged log', damaged, several.options],
    ['a second log', second, one.options],
    ['a log in the page cache', played(one).disk, one.options],
  ];
}

export function searchSetAside(): SearchResult {
  let violation: string | null = null;
  const result = { crashPoints: 0, outcomes: 0 };
  let place = '';
  try {
    for (const [what, start, options] of starts()) {
      place = what;
      const search = new SetAsideSearch(start, options);
      try {
        search.run();
      } finally {
        result.crashPoints += search.crashPoints;
        result.outcomes += search.outcomes;
      }
    }
  } catch (error) {
    violation = `${place}: ${error instanceof Violation ? error.message : `unexpected: ${String(error)}`}`;
  }
  return { violation, ...result };
}
