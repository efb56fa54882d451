import { memberAccess } from '@quorate/access';
import { failure, hashToken, type PeerState } from '@quorate/api';
import { DecodeError, type StateMachineOptions } from '@quorate/kv';
import { memberId, type MemberId, type Message } from '@quorate/raft';
import {
  ElapsedTicks,
  Replica,
  RequestHandler,
  TICK_MS,
  type ReplicaStorage,
  type RequestPolicies,
  type SnapshotPolicy,
} from '@quorate/replica';
import {
  WalDamagedError,
  formatWal,
  openWal,
  setAsideAndFormat,
  type SnapshotFiles,
  type Wal,
  type WalIdentity,
} from '@quorate/wal';
import { SimulatedDisk } from '@quorate/wal/testing';
import { AttemptChecker } from './checkers/attempt-checker.js';
import type { Checkers } from './checkers/checkers.js';
import type { Host } from './host.js';
import type { MemberLimits } from './limits.js';
import { SnapshotWatch } from './snapshot-watch.js';
import { StrayWrite } from './stray-write.js';
import type { World } from './world.js';

export const CLUSTER_ID = '00c0ffee00c0ffee';
export const EPOCH = 1;
export const ADMIN_TOKEN = 'simulated-admin-token';
export const ADMIN_TOKEN_HASH = hashToken(ADMIN_TOKEN);
export const FEED_KEY = new Uint8Array(32).fill(7);
const DIRECTORY = '/data';
const SHUTDOWN_MS_MAX = 2_000;
const HAND_OVER_MS_MAX = 1_000;

/** Thrown out of a disk operation: the machine stops in the middle of it. */
class PowerCut extends Error {
  override readonly name = 'PowerCut';
}

/** What a member needs of the cluster around it. */
export interface Surroundings {
  carry(message: Message): void;
  peersOf(member: number): readonly PeerState[];
  roleChanged(member: SimulatedMember): void;
  applied(member: SimulatedMember): void;
}

/** As the store wires them: real decisions and validation, one for each process of a member. */
function requestPolicies(): RequestPolicies {
  const access = memberAccess();
  return {
    adminTokenHash: ADMIN_TOKEN_HASH,
    decide: (machine, check) => access.decide(machine, check),
    validateAccessChange: (machine, operation) => {
      const fault = access.changeFault(machine, operation);
      return fault === null ? null : failure(fault.code, fault.message);
    },
    feedKey: FEED_KEY,
  };
}

/** One member: a host, a disk that can lose what was not synced, and the real replica on top of both. */
export class SimulatedMember {
  readonly id: MemberId;
  readonly host: Host;
  readonly disk: SimulatedDisk;
  incarnation: string;
  /** Its disk was wiped and formatted again: it is another machine now, and its peers must not listen to it. */
  wiped = false;
  /** A bit of its disk was flipped: it may lose its log, or, alone in its cluster, refuse to start for good. */
  rotten = false;
  /** It lost its log, and the end of its recovery is not durable yet. */
  forgetful = false;
  /** A disk fault was injected into this process: it may end itself. */
  diskFaulty = false;
  /** Its next start finds a block that cannot be read, this time. */
  nextStartFailsToRead = false;
  replica: Replica | null = null;
  handler: RequestHandler | null = null;
  readonly #usualSyncMeanMs: number;
  #syncMeanMs: number;
  /** Of a disk that lied, or is about to. */
  #strayWrite: StrayWrite | null = null;
  /** Why the last start came to nothing: its log is damaged, and not only unreadable for now. */
  #foundDamage = false;
  /** The power went when nothing vouched for the lie yet: it cannot be found out, so this member never starts again. */
  #deceived = false;
  #onStopped: (() => void) | null = null;
  #wal: Wal | null = null;
  /** Of all its lives. */
  readonly attempts: AttemptChecker;
  readonly #turnMeanMs: number;
  readonly #world: World;
  readonly #checkers: Checkers;
  readonly #surroundings: Surroundings;
  readonly #memberIds: readonly MemberId[];
  readonly #limits: MemberLimits;
  readonly #segmentBytesMax: number;
  readonly #stateMachine: StateMachineOptions;
  readonly #electionTimeoutTicks: number;
  readonly #snapshots: SnapshotPolicy;
  readonly #snapshotChunkBytes: number;
  readonly #snapshotWatch: SnapshotWatch;
  readonly #hashEveryEntries: number;

  constructor(
    world: World,
    host: Host,
    options: {
      readonly id: number;
      readonly memberIds: readonly MemberId[];
      readonly syncMeanMs: number;
      readonly segmentBytesMax: number;
      readonly stateMachine: StateMachineOptions;
      readonly electionTimeoutTicks: number;
      readonly snapshots: SnapshotPolicy;
      readonly snapshotChunkBytes: number;
      readonly hashEveryEntries: number;
      /** How long an event loop takes to come round: all that arrives meanwhile shares one flush. */
      readonly turnMeanMs: number;
      readonly limits: MemberLimits;
      readonly checkers: Checkers;
      readonly surroundings: Surroundings;
    },
  ) {
    this.id = memberId(options.id);
    this.host = host;
    this.#world = world;
    this.#checkers = options.checkers;
    this.#surroundings = options.surroundings;
    this.#memberIds = options.memberIds;
    this.#limits = options.limits;
    this.#segmentBytesMax = options.segmentBytesMax;
    this.#stateMachine = options.stateMachine;
    this.#electionTimeoutTicks = options.electionTimeoutTicks;
    this.#snapshots = options.snapshots;
    this.#snapshotChunkBytes = options.snapshotChunkBytes;
    this.#snapshotWatch = new SnapshotWatch(world);
    this.#hashEveryEntries = options.hashEveryEntries;
    this.#turnMeanMs = options.turnMeanMs;
    this.attempts = new AttemptChecker(world, this.id);
    this.#usualSyncMeanMs = options.syncMeanMs;
    this.#syncMeanMs = options.syncMeanMs;
    const diskRandom = host.random.fork();
    this.disk = new SimulatedDisk({
      random: () => diskRandom.fraction(),
      schedule: (task) => {
        host.post(diskRandom.exponential(this.#syncMeanMs), task);
      },
    });
    this.incarnation = this.#drawIncarnation();
    this.#format();
    host.afterWork = () => this.#observe();
    host.onError = (error) => {
      if (!(error instanceof PowerCut)) throw error;
      this.stop('power');
    };
  }

  #drawIncarnation(): string {
    const words = [this.host.random.uint32(), this.host.random.uint32()];
    return words.map((word) => word.toString(16).padStart(8, '0')).join('');
  }

  get #identity(): WalIdentity {
    return {
      clusterId: CLUSTER_ID,
      epoch: EPOCH,
      memberId: this.id,
      incarnation: this.incarnation,
    };
  }

  #format(): void {
    formatWal(this.disk, DIRECTORY, this.#identity);
  }

  /** As the store does with a damaged log, and an operator with a folder that is lost. */
  #beginAnew(): void {
    setAsideAndFormat(this.disk, DIRECTORY, this.#identity, 1 + this.host.random.below(2 ** 30));
    this.rotten = false;
    this.forgetful = true;
    this.#strayWrite = null;
    this.#checkers.forgot(this.id);
  }

  /** Starts a new process on what the disk holds. */
  start(): void {
    if (this.#deceived) return;
    this.host.boot();
    this.diskFaulty = false;
    this.#foundDamage = false;
    if (this.#startOn(this.#open())) return;
    this.host.kill();
    // One that is alone has nobody to fetch anything from, nor one that nobody listens to.
    if (!this.#foundDamage || this.wiped || this.#memberIds.length === 1) return;
    this.#world.mark('a damaged log was set aside');
    this.#world.tell(`member ${this.id} begins anew`);
    this.#beginAnew();
    this.host.boot();
    if (!this.#startOn(this.#open())) this.host.kill();
  }

  /** False: it does not start, see `#unlessDamaged`. */
  #startOn(opened: ReturnType<typeof openWal> | null): boolean {
    if (opened === null) return false;
    const { wal, recovered, snapshots } = opened;
    this.#wal = wal;
    if (recovered.tornBytes > 0) this.#world.mark('a torn tail was cut off');
    this.#world.tell(
      `member ${this.id} starts: term ${recovered.hardState.term}, ${recovered.entries.length} entries, commit ${recovered.hardState.commit}`,
    );
    if (this.rotten && !this.wiped && this.#checkers.durableLogs.hasLost(this.id, recovered)) {
      // The newest record, which nothing vouched for yet: no log can tell such damage from a torn write (FORMAT.md), and Raft does
      // not survive a member that forgets what it promised.
      this.#world.mark('a rotten record was taken for a torn one: its member stays away');
      this.#deceived = true;
      return false;
    }
    if (!this.wiped) this.#checkers.recovered(this.id, recovered);
    this.replica = this.#replicaOn({
      wal: this.#watched(wal),
      recovered,
      snapshots: this.#watchedFiles(snapshots),
    });
    if (this.replica === null) return false;
    if (this.rotten) this.#world.mark('a member started in spite of a flipped bit');
    if (!this.wiped) this.attempts.watch(this.replica);
    this.handler = new RequestHandler(this.replica, requestPolicies());
    this.#tickLater(new ElapsedTicks(this.host.monotonicMs()));
    return true;
  }

  #replicaOn(storage: ReplicaStorage): Replica | null {
    const process = this.host.process;
    return this.#unlessDamaged(
      () =>
        new Replica(
          {
            self: this.id,
            members: this.#memberIds,
            clusterId: CLUSTER_ID,
            epoch: EPOCH,
            electionTimeoutTicks: this.#electionTimeoutTicks,
            stateMachine: this.#stateMachine,
            snapshots: this.#snapshots,
            hashEveryEntries: this.#hashEveryEntries,
            ...this.#limits,
          },
          {
            send: (message) => this.#send(message),
            peers: () => this.#surroundings.peersOf(this.id),
            defer: (task) => {
              this.host.post(
                this.#turnMeanMs === 0 ? 0 : this.host.random.exponential(this.#turnMeanMs),
                task,
              );
            },
            random: () => this.host.random.fraction(),
            wallClockMs: () => this.host.wallMs(),
            monotonicMs: () => this.host.monotonicMs(),
            fatal: (error) => this.#fatal(process, error),
          },
          storage,
          {
            roleChanged: () => this.#surroundings.roleChanged(this),
            applied: () => this.#surroundings.applied(this),
            installed: () => this.#surroundings.applied(this),
            diverged: ({ index }) =>
              this.#world.violation(
                'equal states',
                `member ${this.id} finds its state another one at index ${index}`,
              ),
          },
        ),
    );
  }

  #open(): ReturnType<typeof openWal> | null {
    const unreadable = this.nextStartFailsToRead;
    this.nextStartFailsToRead = false;
    this.disk.nextReadFails = unreadable;
    const options = {
      segmentBytesMax: this.#segmentBytesMax,
      snapshotChunkBytes: this.#snapshotChunkBytes,
    };
    return this.#unlessDamaged(() => openWal(this.disk, DIRECTORY, options), unreadable);
  }

  #unlessDamaged<T>(start: () => T, unreadable = false): T | null {
    try {
      return start();
    } catch (error) {
      const damaged = (error instanceof WalDamagedError || error instanceof DecodeError) && this.rotten;
      if (!(error instanceof Error) || !(damaged || unreadable)) throw error;
      this.#world.mark(damaged ? 'a damaged log was refused' : 'a log that could not be read was refused');
      this.#world.tell(`member ${this.id} does not start: ${error.message}`);
      this.#foundDamage = damaged;
      return null;
    }
  }

  /** The log, with a look at everything that is handed to it. */
  #watched(wal: Wal): Wal {
    if (this.wiped) return wal;
    const append = wal.append.bind(wal);
    wal.append = (batch, onDurable) => {
      const first = batch.entries[0];
      const previousTerm = first === undefined ? 0 : (this.replica?.raft.termAt(first.index - 1) ?? 0);
      this.#checkers.stored(this.id, batch, previousTerm);
      const vouch = batch.sync ? this.#strayWrite?.appended() : undefined;
      append(batch, (error) => {
        if (error === null) vouch?.();
        if (error === null) {
          this.#checkers.durable(this.id, batch);
          if (batch.hardState?.recovery === 0) this.forgetful = false;
        }
        onDurable(error);
      });
    };
    return wal;
  }

  /** The snapshot files, with a look at when one becomes durable. */
  #watchedFiles(files: SnapshotFiles): SnapshotFiles {
    if (this.wiped) return files;
    const create = files.create.bind(files);
    files.create = (point) => {
      const writer = create(point);
      const finish = writer.finish.bind(writer);
      writer.finish = (callback) =>
        finish((error, info) => {
          if (info !== null) this.#checkers.snapshotDurable(this.id, info);
          if (info !== null) this.#snapshotWatch.durable(info);
          callback(error, info);
        });
      return writer;
    };
    return files;
  }

  /** As the store's own ticker: what a frozen process missed is made up for, in part, when it goes on. */
  #tickLater(elapsed: ElapsedTicks): void {
    this.host.setTimer(TICK_MS, () => {
      for (let due = elapsed.take(this.host.monotonicMs()); due > 0; due -= 1) this.replica?.tick();
      this.#tickLater(elapsed);
    });
  }

  #send(message: Message): void {
    if (!this.wiped) this.#checkers.sent(this.id, message);
    this.#snapshotWatch.sent(message);
    this.#surroundings.carry(message);
  }

  #fatal(process: number, error: Error): void {
    const cut = error.cause instanceof PowerCut;
    if (cut) this.#world.mark('the power went in the middle of a disk operation');
    const isRot = this.rotten && error.cause instanceof WalDamagedError;
    if (!cut && !isRot && !(this.diskFaulty && isDiskError(error.cause))) {
      this.#world.violation('no end without cause', `member ${this.id} ended itself: ${error.message}`);
    }
    if (!cut) this.#world.mark('a member ended itself after a disk fault');
    this.#world.tell(`member ${this.id} ends: ${error.message}`);
    // After the event in progress: the replica is still on the stack.
    this.#world.schedule(0, () => {
      if (this.host.process === process) this.stop(cut ? 'power' : 'process');
    });
  }

  #observe(): void {
    if (this.replica === null || this.wiped) return;
    this.#checkers.observe({
      id: this.id,
      process: this.host.process,
      raft: this.replica.raft,
      machine: this.replica.machine,
      replica: this.replica,
    });
  }

  /** The power goes at the n-th disk operation from now. */
  cutPowerAfter(operations: number, stopped: () => void): void {
    let left = operations;
    this.diskFaulty = true;
    this.#onStopped = stopped;
    this.disk.onOperation = () => {
      left -= 1;
      if (left <= 0) throw new PowerCut('the power went');
    };
  }

  isShuttingDown = false;

  /** SIGTERM: what waits is answered, the log is closed, the process ends; an operator who waits too long kills it. */
  shutDown(): void {
    const [replica, wal] = [this.replica, this.#wal];
    if (this.isShuttingDown) return;
    if (replica === null || wal === null) return this.stop('process');
    this.#world.mark('a member was shut down in order');
    this.isShuttingDown = true;
    const { process } = this.host;
    const end = (): void => {
      if (this.host.process === process && this.host.isUp) this.stop('process');
    };
    this.host.accept(() => {
      replica.handOver(HAND_OVER_MS_MAX, () => {
        replica.stop();
        this.handler = null;
        wal.close(() => this.#world.schedule(0, end));
      });
    });
    this.#world.schedule(SHUTDOWN_MS_MAX, end);
  }

  /** The process dies, and with `power` the page cache with it. */
  stop(what: 'process' | 'power'): void {
    this.host.kill();
    this.isShuttingDown = false;
    this.#snapshotWatch.stopped(this.replica?.machine.appliedIndex ?? 0);
    this.replica = null;
    this.#wal = null;
    this.handler = null;
    this.disk.onOperation = null;
    if (what === 'power' && this.#strayWrite?.isVouchedFor === false) {
      this.#deceived = true;
      this.#world.mark('a disk had lied about the last writes: its member stays away');
    }
    if (what === 'power') this.disk.crash();
    else this.disk.kill();
    const stopped = this.#onStopped;
    this.#onStopped = null;
    stopped?.();
  }

  /** It has some chunks of a snapshot of its leader, and not all. */
  get fetchesSnapshot(): boolean {
    return this.replica !== null && this.#snapshotWatch.isFetching(this.replica.machine.appliedIndex);
  }

  /** For good, or until the others have given it everything: not to be counted upon. */
  get isLost(): boolean {
    return this.wiped || this.rotten || this.forgetful;
  }

  /** One bit, anywhere in its files, is no longer what was written. */
  flipBit(): void {
    const { random } = this.host;
    const file = random.pick(this.disk.files());
    if (file.size === 0) return;
    this.rotten = true;
    this.disk.flipBit(file.path, random.below(file.size), random.below(8));
  }

  /** From now on a sync takes `meanMs` on average, and ends; null: as usual. */
  slowSyncs(meanMs: number | null): void {
    this.#syncMeanMs = meanMs ?? this.#usualSyncMeanMs;
  }

  /** The next write of its disk lands on other sectors, or nowhere; the page cache hides it until the power goes. */
  misdirectNextWrite(how: 'misdirected' | 'lost'): void {
    this.rotten = true;
    this.#strayWrite = new StrayWrite();
    this.disk.nextWriteFault = how;
  }

  /** All files are gone, and an operator gives the member an empty log. */
  loseFolder(): void {
    this.#removeAll();
    this.#beginAnew();
  }

  #removeAll(): void {
    for (const { path } of this.disk.files()) this.disk.remove(path);
    this.disk.syncDirectory(DIRECTORY);
  }

  /** All files are gone, and somebody formats the folder as that of another machine: a new incarnation. */
  wipe(): void {
    this.#removeAll();
    this.incarnation = this.#drawIncarnation();
    this.wiped = true;
    this.#format();
  }
}

/** What an injected fault of a disk looks like to the process; anything else that ends it is a bug. */
function isDiskError(cause: unknown): boolean {
  const code = cause instanceof Error && 'code' in cause ? cause.code : null;
  return code === 'EIO' || code === 'ENOSPC';
}
