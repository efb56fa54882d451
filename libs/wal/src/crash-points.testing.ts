import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { logIndex } from '@quorate/raft';
import type { HardState, LogEntry, SnapshotPoint } from '@quorate/raft';
import { WalDamagedError, WalNotFormattedError } from './errors.js';
import { formatWal } from './segment.js';
import { SimulatedDisk } from './simulated-disk.js';
import { DIRECTORY, entry, hardState, IDENTITY, SimulatedMachine } from './simulated-machine.testing.js';
import type { SnapshotFiles, SnapshotWriter } from './snapshot-files.js';
import { openWal } from './wal.js';
import type { Wal, WalBatch, WalRecovered } from './wal.js';
import { SNAPSHOT_WORKLOADS, WORKLOADS } from './workloads.testing.js';
import type { Model, Restart, Workload } from './workloads.testing.js';

/**
 * Exhaustive search over power losses: scripted workloads, stopped before each disk operation, and there every outcome that
 * the simulated disk can give (up to a bound). Whatever is opened afterwards must be the log after some record that was
 * written, and none before the last that was reported durable. A refusal is a violation: a member must start after any power loss.
 *
 * With snapshots the log that is found is the content of the newest one, and the entries behind it: where the segments begin
 * makes no difference, only that the two connect and, where they overlap, agree.
 */

/** What a search found: the first violation, and how much it looked at. */
export interface SearchResult {
  readonly violation: string | null;
  readonly crashPoints: number;
  readonly outcomes: number;
}

/** Outcomes tried at one crash point, at most: at few points there are more. */
const OUTCOMES_MAX = 2048;
/** And inside a recovery, or while a recovered log goes on. */
const INNER_OUTCOMES_MAX = 64;

/** How many outcomes an examiner tries at a crash point, and inside a recovery. */
export interface OutcomeBounds {
  readonly outer: number;
  readonly inner: number;
}

/** What a fork is given: it must not draw, and a sync that nobody ends never ends. */
export const STILL = {
  random: () => {
    throw new Error('nothing here is left to chance');
  },
  schedule: () => {},
};

export class Violation extends Error {}

/** A log from its first entry on, whether snapshots or segments hold it. */
interface WholeLog {
  readonly snapshot: SnapshotPoint | null;
  readonly hardState: HardState;
  /** One for each entry. */
  readonly items: readonly string[];
}

/** Short: a snapshot's payload is made of them, and more sectors would be more outcomes. */
function itemOf({ index, term, kind, payload }: LogEntry): string {
  return `${index}.${term}.${kind === 'noop' ? 'noop' : crc32(payload).toString(36)}`;
}

/** Two logs with the same key are the same log. */
function keyOf({ snapshot, hardState: { term, vote, commit, recovery }, items }: WholeLog): string {
  const found = snapshot === null ? '' : `snapshot ${snapshot.index} of ${snapshot.term}: `;
  const recovering = recovery === 0 ? '' : `recovery ${recovery}, `;
  return `${found}${recovering}term ${term}, vote ${vote}, commit ${Math.min(commit, items.length)}, ${items.join(' ')}`;
}

function isLog(found: string): boolean {
  return /^(term|recovery|snapshot)/.test(found);
}

/** What a snapshot stands for. */
export interface TakenSnapshot {
  readonly point: SnapshotPoint;
  /** From 1 to the point. */
  readonly entries: readonly LogEntry[];
}

/** The log as it is opened when a snapshot is there too (P9, P10). */
function under(snapshot: TakenSnapshot | null, model: Model): Model {
  if (snapshot === null) return model;
  const { index, term: snapshotTerm } = snapshot.point;
  const { hardState: state, entries } = model;
  const isRaised = state.term < snapshotTerm;
  const raised = isRaised ? { ...state, term: snapshotTerm, vote: null } : state;
  if (entries[index - 1]?.term !== snapshotTerm)
    return { hardState: { ...raised, commit: index }, entries: snapshot.entries };
  const commit = logIndex(Math.max(Math.min(state.commit, entries.length), index));
  return { hardState: { ...raised, commit }, entries };
}

/** Plays a workload against a simulated disk and keeps the books: every log there was, and which were reported durable. */
export class Player {
  readonly machine = new SimulatedMachine(1);
  /** The log after 0, 1, 2, ... records. */
  models: Model[];
  /** Whose name may have come to be on the disk. */
  readonly snapshots: TakenSnapshot[] = [];
  /** Up to this index a snapshot was reported durable. */
  snapshotFloor = 0;
  /** So many records were reported durable. */
  floor = 0;
  formatted = false;
  /** The process ended itself: the disk failed. */
  ended = false;
  #wal: Wal | null = null;
  #files: SnapshotFiles | null = null;
  #writer: SnapshotWriter | null = null;
  #counter = 0;
  /** Of the models so far, by snapshot. */
  readonly #keys = new Map<TakenSnapshot | null, string[]>();

  constructor(readonly workload: Workload) {
    this.models = [{ hardState: hardState(0, null, 0, workload.recovery), entries: [] }];
  }

  get disk(): SimulatedDisk {
    return this.machine.disk;
  }

  run(): void {
    this.#orEnd(() => formatWal(this.disk, DIRECTORY, IDENTITY, () => {}, this.workload.recovery));
    if (this.ended) return;
    this.formatted = true;
    this.#open();
    for (const step of this.workload.steps) {
      if (this.ended) return;
      if (step.type === 'append') {
        const batch = step.batch(this.#model(), (this.#counter += 1), this.#newestSnapshot());
        if (batch !== null) this.#append(batch);
      } else if (step.type === 'snapshot')
        this.#snapshot(step.content(this.#model(), this.#durableModel(), (this.#counter += 1)));
      else if (step.type === 'compact') this.#compact();
      else if (step.type === 'prune') this.#orEnd(() => this.#files?.prune([]));
      else if (step.type === 'sync') this.machine.runOne();
      else if (step.type === 'restart') this.#restart(step.how);
      else this.machine.runAll();
    }
  }

  /** Says what is wrong with a log that was found, or null. */
  judge(found: string, exactly: string | null = null): string | null {
    if (exactly !== null) return found === exactly ? null : `found (${found}) instead of (${exactly})`;
    const wrong = this.judgeLog(found);
    if (wrong !== null || found === NOT_FORMATTED) return wrong;
    const snapshotIndex = this.#snapshotOf(found)?.point.index ?? 0;
    if (snapshotIndex >= this.snapshotFloor) return null;
    return `found snapshot ${snapshotIndex}; durable was snapshot ${this.snapshotFloor}`;
  }

  /** The same, whichever snapshot was found with it. */
  judgeLog(found: string): string | null {
    if (found === NOT_FORMATTED) return this.formatted ? 'the log is gone' : null;
    const keys = this.keysLike(found);
    if (keys.includes(found, this.floor)) return null;
    const what = keys.includes(found) ? 'what was reported durable is gone' : 'this was never the log';
    return `${what}: found (${found}); durable was (${keys[this.floor]})`;
  }

  /** What is found, with the snapshot of this finding, after 0, 1, 2, ... records. */
  keysLike(found: string): readonly string[] {
    const snapshot = this.#snapshotOf(found);
    const keys = this.#keys.get(snapshot) ?? [];
    this.#keys.set(snapshot, keys);
    for (const model of this.models.slice(keys.length)) {
      const { hardState: state, entries } = under(snapshot, model);
      keys.push(keyOf({ snapshot: snapshot?.point ?? null, hardState: state, items: entries.map(itemOf) }));
    }
    return keys;
  }

  /** Null also if there never was such a snapshot: no key is like this finding then. */
  #snapshotOf(found: string): TakenSnapshot | null {
    return (
      this.snapshots.find(({ point }) => found.startsWith(`snapshot ${point.index} of ${point.term}:`)) ??
      null
    );
  }

  #newestSnapshot(): TakenSnapshot | null {
    const newest = this.#files?.newest ?? null;
    return (
      this.snapshots.find(({ point }) => point.index === newest?.index && point.term === newest.term) ?? null
    );
  }

  #model(): Model {
    const model = this.models.at(-1);
    if (model === undefined) throw new Error('no log');
    return model;
  }

  #durableModel(): Model {
    return this.models[this.floor] ?? this.#model();
  }

  #open(): void {
    this.#orEnd(() => {
      const { wal, recovered, snapshots } = openWal(this.disk, DIRECTORY, this.workload.options);
      this.#wal = wal;
      this.#files = snapshots;
      this.#writer = null;
      // From here on the log is what was found: what was cut off never was.
      const found = keyOf(wholeLog(recovered, snapshots));
      const complaint = this.judge(found);
      if (complaint !== null) throw new Violation(complaint);
      this.floor = this.keysLike(found).lastIndexOf(found);
      this.snapshotFloor = recovered.snapshot?.index ?? 0;
      this.models.length = this.floor + 1;
      this.models[this.floor] = under(this.#newestSnapshot(), this.#model());
      this.#keys.clear();
    });
  }

  /** An error of the disk gives the snapshot up; the log goes on. */
  #snapshot(entries: readonly LogEntry[]): void {
    const last = entries.at(-1);
    const files = this.#files;
    if (last === undefined || files === null || this.#writer !== null) return;
    if (last.index <= (files.newest?.index ?? 0)) return;
    const point = { index: last.index, term: last.term };
    this.snapshots.push({ point, entries });
    try {
      const writer = files.create(point);
      this.#writer = writer;
      // Every other one with an fsync on the way, so that its end finds that in flight.
      if (this.snapshots.length % 2 === 0) writer.sync(() => {});
      writer.append(Buffer.from(entries.map(itemOf).join(' ')));
      writer.finish((error) => {
        this.#writer = null;
        if (error === null) this.snapshotFloor = point.index;
        else if (!isDiskError(error)) throw error;
      });
    } catch (error) {
      if (!isDiskError(error)) throw error;
      this.#writer?.abandon();
      this.#writer = null;
    }
  }

  #compact(): void {
    const newest = this.#files?.newest;
    if (newest !== undefined && newest !== null) this.#wal?.compact(newest.index);
  }

  #append(batch: WalBatch): void {
    this.#book(batch);
    const records = this.models.length - 1;
    this.#wal?.append(batch, (error) => {
      if (error !== null) this.ended = true;
      else if (batch.sync !== false) this.floor = records;
    });
  }

  /** Each record makes another log: a torn batch may leave any of them. */
  #book(batch: WalBatch): void {
    const reset = batch.reset ?? null;
    if (reset !== null) {
      const state = batch.hardState ?? this.#model().hardState;
      const { entries } = under(this.#newestSnapshot(), this.#model());
      this.models.push({ ...this.#model(), hardState: state }, { hardState: state, entries });
    }
    if (batch.hardState !== null) this.models.push({ ...this.#model(), hardState: batch.hardState });
    for (const one of batch.entries) {
      const model = this.#model();
      this.models.push({ ...model, entries: [...model.entries.slice(0, one.index - 1), one] });
    }
  }

  #restart(how: Restart): void {
    if (how === 'close') {
      this.#wal?.close((error) => {
        if (error !== null) this.ended = true;
        else this.floor = this.models.length - 1;
      });
      this.machine.runAll();
      if (this.ended) return;
    } else if (how === 'kill') this.disk.kill();
    else {
      const { choices } = this.disk.crashOutcomes(OUTCOMES_MAX);
      const isMatch = (choice: readonly number[]): boolean =>
        how === 'power, all torn'
          ? choice.every((fate) => fate >= 2)
          : choice.every((fate, at) => fate === (at === 0 ? 1 : 0));
      this.disk.crash(choices.find(isMatch) ?? choices[0]);
    }
    this.#open();
  }

  /** Runs what may end in an error of the disk; anything else is a mistake of the log. */
  #orEnd(action: () => void): void {
    try {
      action();
    } catch (error) {
      if (!isDiskError(error)) throw error;
      this.ended = true;
    }
  }
}

export function isDiskError(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'EIO' || error.code === 'ENOSPC');
}

export const NOT_FORMATTED = 'not formatted';

/** Opens, reads the snapshot, and says what was found; a refusal is a finding too. */
export function find(
  disk: SimulatedDisk,
  options: Workload['options'],
  mayBeDamaged: 'no snapshot' | 'snapshots' = 'no snapshot',
): string {
  try {
    const { recovered, snapshots } = openWal(disk, DIRECTORY, options);
    const { damagedSnapshots } = recovered;
    if (mayBeDamaged === 'no snapshot' && damagedSnapshots.length > 0)
      return `damaged: ${damagedSnapshots.join()}`;
    return foundBy(recovered, snapshots);
  } catch (error) {
    if (error instanceof WalNotFormattedError) return NOT_FORMATTED;
    if (error instanceof WalDamagedError) return `refused: ${error.message}`;
    throw error;
  }
}

function foundBy(recovered: WalRecovered, snapshots: SnapshotFiles): string {
  const { commit } = recovered.hardState;
  const log = wholeLog(recovered, snapshots);
  if (commit > log.items.length) return `commit ${commit} leads ${log.items.length} entries`;
  return keyOf(log);
}

function wholeLog(
  { base, entries, hardState: state, snapshot }: WalRecovered,
  files: SnapshotFiles,
): WholeLog {
  if (snapshot === null) {
    if (base.index > 0) throw new Violation(`the log begins behind ${base.index}, and there is no snapshot`);
    return { snapshot, hardState: state, items: entries.map(itemOf) };
  }
  const chunks = Array.from({ length: snapshot.chunkCount }, (_, at) => files.readChunk(snapshot.index, at));
  const payload = Buffer.concat(chunks);
  if (crc32(payload) !== snapshot.digest || payload.length !== snapshot.payloadBytes)
    throw new Violation(`snapshot ${snapshot.index} is not what its footer says`);
  const items = payload.toString().split(' ');
  const overlap = entries.slice(0, snapshot.index - base.index).map(itemOf);
  const isSame = overlap.every((item, at) => item === items[base.index + at]);
  const baseTerm = base.index === 0 ? '0' : items[base.index - 1]?.split('.')[1];
  if (base.index > snapshot.index || !isSame || Number(baseTerm) !== base.term)
    throw new Violation(`snapshot ${snapshot.index} and the log behind ${base.index} do not connect`);
  const behind = entries.slice(snapshot.index - base.index).map(itemOf);
  const point = { index: snapshot.index, term: snapshot.term };
  return { snapshot: point, hardState: state, items: [...items, ...behind] };
}

/** Looks at disks that lost power, and remembers those it has seen. */
export class Examiner {
  crashPoints = 0;
  outcomes = 0;
  /**
   * The first violation. It is thrown as well, but often from inside a disk operation, and there the log takes it for an
   * error of the disk.
   */
  violation: Violation | null = null;
  /** Crash points at which a sample was taken, because there were more outcomes. */
  sampled = 0;
  /** By content of the disk: what an opening finds there. */
  readonly #found = new Map<string, string>();
  readonly #recovered = new Set<string>();
  readonly #bounds: OutcomeBounds;

  constructor(bounds: OutcomeBounds = { outer: OUTCOMES_MAX, inner: INNER_OUTCOMES_MAX }) {
    this.#bounds = bounds;
  }

  /** Each outcome of a power loss at this moment. */
  powerLoss(player: Player): void {
    this.crashPoints += 1;
    if (!player.disk.crashOutcomes(this.#bounds.outer).exhaustive) this.sampled += 1;
    this.#each(player.disk, this.#bounds.outer, player.workload, (crashed) => {
      const found = this.#look(crashed, player.workload);
      complainIf(player.judge(found));
      this.#recovery(crashed, found, player.workload);
    });
  }

  /** The process dies, the page cache lives on: what is then recovered must also survive a power loss. */
  processDeath(player: Player): void {
    this.crashPoints += 1;
    const { workload } = player;
    const disk = player.disk.fork(STILL);
    disk.onOperation = () => {
      this.#each(disk, this.#bounds.inner, workload, (crashed) =>
        complainIf(player.judge(this.#look(crashed, workload))),
      );
    };
    const found = find(disk, workload.options);
    disk.onOperation = null;
    complainIf(player.judge(found));
    this.#each(disk, this.#bounds.inner, workload, (crashed) =>
      complainIf(player.judge(this.#look(crashed, workload), found)),
    );
    if (!isLog(found)) return;
    for (const payload of PAYLOADS) this.#goOn(player.disk, payload, workload);
  }

  /** A recovery that is itself cut off at each operation, and the log that goes on after it. Once per content of the disk. */
  #recovery(crashed: SimulatedDisk, found: string, workload: Workload): void {
    if (!isLog(found)) return;
    const content = fingerprint(crashed, workload);
    if (this.#recovered.has(content)) return;
    this.#recovered.add(content);
    const disk = crashed.fork(STILL);
    const complain = (again: SimulatedDisk): void => {
      const foundAgain = this.#look(again, workload);
      complainIf(
        foundAgain === found ? null : `a recovery that was cut off changed (${found}) to (${foundAgain})`,
      );
      this.#recovery(again, found, workload);
    };
    disk.onOperation = () => this.#each(disk, this.#bounds.inner, workload, complain);
    const { recovered } = openWal(disk, DIRECTORY, workload.options);
    disk.onOperation = null;
    this.#each(disk, this.#bounds.inner, workload, complain);
    // Stale bytes that come to life need a torn tail.
    if (recovered.tornBytes > 0) for (const payload of PAYLOADS) this.#goOn(crashed, payload, workload);
  }

  /** One more entry after a recovery: not durable before it is reported, durable after, and with nothing stale behind it. */
  #goOn(from: SimulatedDisk, payload: number, workload: Workload): void {
    const tasks: (() => void)[] = [];
    const disk = from.fork({ ...STILL, schedule: (task) => tasks.push(task) });
    const { wal, recovered, snapshots } = openWal(disk, DIRECTORY, workload.options);
    const { base, entries, hardState: state } = recovered;
    const next = entry(
      base.index + entries.length + 1,
      Math.max(state.term, entries.at(-1)?.term ?? 0),
      'n'.repeat(payload),
    );
    const before = foundBy(recovered, snapshots);
    const log = wholeLog(recovered, snapshots);
    const items = [...log.items, itemOf(next)];
    const after = keyOf({ ...log, items });
    // A batch torn behind its hard state leaves a commit index that leads. It is a fact about the cluster, and any leader that
    // this member may follow has the entry that it speaks of: once there is one again, the commit index covers it.
    const committed = keyOf({ ...log, hardState: { ...state, commit: next.index }, items });
    let reported = false;
    wal.append({ hardState: null, entries: [next] }, (error) => {
      if (error === null) reported = true;
    });
    const complain = (crashed: SimulatedDisk): void => {
      const found = this.#look(crashed, workload);
      const isAfter = found === after || found === committed;
      const isRight = isAfter || (!reported && found === before);
      complainIf(isRight ? null : `after a recovery (${before}) and one more entry: found (${found})`);
    };
    this.#each(disk, this.#bounds.inner, workload, complain);
    for (const task of tasks.splice(0)) task();
    if (!reported) throw new Violation('an append after a recovery was not reported');
    this.#each(disk, this.#bounds.inner, workload, complain);
  }

  #each(
    disk: SimulatedDisk,
    outcomesMax: number,
    workload: Workload,
    visit: (crashed: SimulatedDisk) => void,
  ): void {
    for (const choice of disk.crashOutcomes(outcomesMax).choices) {
      this.outcomes += 1;
      const crashed = disk.fork(STILL);
      crashed.crash(choice);
      try {
        visit(crashed);
      } catch (error) {
        const what = error instanceof Error ? (error.stack ?? error.message) : String(error);
        const violation = error instanceof Violation ? error : new Violation(what, { cause: error });
        this.violation ??= violation;
        throw violation;
      }
    }
    if (this.violation !== null) throw this.violation;
  }

  #look(crashed: SimulatedDisk, workload: Workload): string {
    const content = fingerprint(crashed, workload);
    const known = this.#found.get(content);
    if (known !== undefined) return known;
    const found = find(crashed.fork(STILL), workload.options);
    this.#found.set(content, found);
    return found;
  }
}

/** Entries of these sizes end, with or without the mark before them, where entries of the workloads end. */
const PAYLOADS = [24, 8];

export function complainIf(complaint: string | null): void {
  if (complaint !== null) throw new Violation(complaint);
}

/** Names and bytes of a disk that holds nothing unsynced. */
function fingerprint(disk: SimulatedDisk, workload: Workload): string {
  const { segmentBytesMax, allocationBytes } = workload.options;
  const hash = createHash('sha1').update(`${segmentBytesMax};${allocationBytes};`);
  const paths = disk.files().map(({ path }) => path);
  for (const path of paths.sort()) {
    const bytes = disk.readFile(path);
    hash.update(`${path}:${bytes.length};`).update(bytes);
  }
  return hash.digest('base64');
}

/** Runs a search and catches what it throws: a finder of mutations must not fall over a broken log. */
export function search(examiner: Examiner, run: () => void): SearchResult {
  let violation: string | null = null;
  try {
    run();
  } catch (error) {
    violation = error instanceof Violation ? error.message : `unexpected: ${String(error)}`;
  }
  violation ??= examiner.violation?.message ?? null;
  return { violation, crashPoints: examiner.crashPoints, outcomes: examiner.outcomes };
}

/** Every workload, stopped before each disk operation and at its end. */
export function searchCrashPoints(
  workloads: readonly Workload[] = [...WORKLOADS, ...SNAPSHOT_WORKLOADS],
): SearchResult {
  const examiner = new Examiner();
  return search(examiner, () => {
    for (const workload of workloads) {
      const player = new Player(workload);
      let operations = 0;
      let place = 'the start';
      const visit = (where: string): void => {
        place = where;
        examiner.powerLoss(player);
        examiner.processDeath(player);
      };
      try {
        player.disk.onOperation = (operation, path) => {
          operations += 1;
          if (examiner.violation === null) visit(`operation ${operations} (${operation} ${path})`);
        };
        player.run();
        if (examiner.violation === null) visit('the end');
        complainIf(player.ended ? 'the log ended itself' : null);
      } catch (error) {
        const first = examiner.violation ?? error;
        const what = first instanceof Violation ? first.message : String(first);
        throw new Violation(`${workload.name}, ${place}: ${what}`, { cause: error });
      }
      if (examiner.violation !== null)
        throw new Violation(`${workload.name}, ${place}: ${examiner.violation.message}`);
    }
  });
}
