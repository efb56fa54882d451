import { find, Player, STILL, Violation } from './crash-points.testing.js';
import { isDetectable, readFiles, recordsOf } from './damage.testing.js';
import type { DamageResult } from './damage.testing.js';
import type { SimulatedDisk, WriteFault } from './simulated-disk.js';
import { SNAPSHOT_WORKLOADS, WORKLOADS } from './workloads.testing.js';
import type { Workload } from './workloads.testing.js';

/**
 * Writes that the disk acknowledges, syncs, and puts elsewhere or nowhere. While the process lives nobody can know; after a
 * power loss the log must be refused or be whole, except where nothing on the disk tells of what is missing.
 */

const SEARCHED = new Set([
  'each batch durable before the next',
  'batches in a pipeline',
  'rotations, each batch durable',
  'rotations beside fsyncs in flight',
  'entries that replaced those of a removed segment',
]);

/** Follows one write: once a sync that began after it has ended and anything was written thereafter, its loss is provable. */
class Watch {
  #state: 'unsynced' | 'syncing' | 'synced' | 'writing' | 'provable' = 'unsynced';

  see(operation: string, path: string): void {
    // What is written and synced there says nothing of the log.
    if (path.includes('snapshot')) return;
    // Each operation is announced before it is done.
    if (this.#state === 'writing') this.#state = 'provable';
    else if (this.#state === 'unsynced' && operation === 'sync') this.#state = 'syncing';
    else if (this.#state === 'unsynced' && operation === 'syncNow') this.#state = 'synced';
    else if (this.#state === 'syncing' && (operation === 'synced' || operation === 'syncNow'))
      this.#state = 'synced';
    else if (this.#state === 'synced' && operation === 'write') this.#state = 'writing';
  }

  get isProvable(): boolean {
    return this.#state === 'provable';
  }
}

class SilentSearch {
  crashPoints = 0;
  outcomes = 0;
  shortened = 0;
  /** Thrown inside a disk operation, the log would take it for an error of the disk. */
  #violation: string | null = null;

  constructor(readonly workload: Workload) {}

  /** Where records and segments start after the workload, and how many writes it made. */
  survey(): { places: { path: string; position: number }[]; writes: number } {
    const player = new Player(this.workload);
    let writes = 0;
    player.disk.onOperation = (operation) => {
      if (operation === 'write') writes += 1;
    };
    player.run();
    const files = readFiles(player.disk);
    const headers = [...files.keys()].map((path) => ({ path, position: 0 }));
    const records = recordsOf(files).map(({ path, start }) => ({ path, position: start }));
    return { places: [...headers, ...records], writes };
  }

  /** Plays with one bad write, and looks at the disk at the end, or before each operation from there on. */
  play(write: number, fault: WriteFault, isWatched: boolean): void {
    const player = new Player(this.workload);
    const { disk } = player;
    const watch = new Watch();
    let writes = 0;
    /** The bad write went to the log, not to a snapshot. */
    let isOfLog = true;
    disk.onOperation = (operation, path) => {
      if (writes > write && isOfLog) watch.see(operation, path);
      if (writes > write && isWatched) this.#look(player, watch);
      if (operation !== 'write') return;
      const isAbsent = typeof fault === 'object' && !disk.files().some(({ path }) => path === fault.path);
      if (writes === write) isOfLog = !path.includes('snapshot');
      if (writes === write && !isAbsent) disk.nextWriteFault = fault;
      writes += 1;
    };
    player.run();
    disk.onOperation = null;
    watch.see('the end', '');
    this.#look(player, watch);
    if (this.#violation !== null) throw new Violation(this.#violation);
  }

  #look(player: Player, watch: Watch): void {
    this.crashPoints += 1;
    const [kept, lost] = player.disk.crashOutcomes(1).choices;
    for (const choice of [kept, lost]) {
      if (choice === undefined) continue;
      this.outcomes += 1;
      const disk = player.disk.fork(STILL);
      disk.crash(choice);
      this.#judge(player, disk, choice === kept && watch.isProvable);
    }
  }

  #judge(player: Player, disk: SimulatedDisk, mustBeSeen: boolean): void {
    const files = new Map([...readFiles(disk)].filter(([path]) => path.endsWith('.wal')));
    const found = find(disk, this.workload.options, 'snapshots');
    if (found.startsWith('refused') || player.judgeLog(found) === null) return;
    if (!player.keysLike(found).includes(found)) this.#violation ??= `this was never the log: (${found})`;
    else if (mustBeSeen) this.#violation ??= `lost, although a later record vouched for it: found (${found})`;
    else if (isDetectable(files)) this.#violation ??= `lost, although the disk tells of it: found (${found})`;
    this.shortened += 1;
  }
}

/** Each write of each workload lost, astray at random, and astray to the place of each record and header. */
export function searchSilentFaults(): DamageResult {
  let violation: string | null = null;
  const result = { crashPoints: 0, outcomes: 0, shortened: 0 };
  for (const workload of [...WORKLOADS, ...SNAPSHOT_WORKLOADS].filter(({ name }) => SEARCHED.has(name))) {
    const search = new SilentSearch(workload);
    let place = '';
    try {
      const { places, writes } = search.survey();
      for (let write = 0; write < writes; write += 1) {
        place = `${workload.name}, write ${write + 1} lost`;
        search.play(write, 'lost', true);
        place = `${workload.name}, write ${write + 1} misdirected`;
        search.play(write, 'misdirected', true);
        for (const { path, position } of places) {
          place = `${workload.name}, write ${write + 1} at byte ${position} of ${path}`;
          search.play(write, { path, position }, false);
        }
      }
    } catch (error) {
      violation ??= `${place}: ${error instanceof Violation ? error.message : `unexpected: ${String(error)}`}`;
    }
    result.crashPoints += search.crashPoints;
    result.outcomes += search.outcomes;
    result.shortened += search.shortened;
  }
  return { violation, ...result };
}
