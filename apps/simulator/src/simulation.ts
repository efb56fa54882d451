import { AssertionError } from 'node:assert';
import { failure, type StoreResponse } from '@quorate/api';
import { renderTimeline } from '@quorate/linearizability';
import { ACCESS_NAMESPACE } from '@quorate/kv';
import { accessFoundation } from './access-world.js';
import { Checkers } from './checkers/checkers.js';
import { checkCacheConvergence } from './checkers/cache-convergence-checker.js';
import { judge } from './checkers/judge.js';
import { tellStory } from './checkers/story.js';
import { Chronicle } from './chronicle.js';
import { Cluster } from './cluster.js';
import { DirectClient } from './direct-client.js';
import { SimulatedGateway } from './gateway.js';
import { History, describeOperation, type ClientOperation } from './history.js';
import { Host, type HostClock } from './host.js';
import { DEFAULT_LIMITS, drawLimits, drawStateLimits, type MemberLimits } from './limits.js';
import type { SimulatedMember } from './member.js';
import { CACHED_NAMESPACE, STRICT_NAMESPACE } from './namespaces.js';
import { Nemesis } from './nemesis/nemesis.js';
import { HEALTHY_NETWORK, SimulatedNetwork } from './network.js';
import { SdkClient } from './sdk-client.js';
import { PERMANENT_FAULTS, runAgain } from './permanent-faults.js';
import { HEALTHY_FEED, SimulatedFeed } from './simulated-feed.js';
import type { StoreAccess } from './store-access.js';
import { drawSwarm, type SwarmParameters } from './swarm.js';
import { ACCESS_TRAFFIC, ENTRY_TRAFFIC } from './traffic-kinds.js';
import { TrafficUser } from './traffic.js';
import { STEPS_MAX, ViolationError, World, type Violation } from './world.js';

export interface SimulationOptions {
  /** Mean length of the phase with faults, simulated milliseconds. Default 15,000. */
  readonly faultPhaseMs?: number;
  readonly keepTrace?: boolean;
  /** Replaces what the seed would have drawn. What is drawn besides is usual then: see `limits` and `access`. */
  readonly swarm?: Partial<SwarmParameters>;
  /** Bounds of the members' queues and windows. */
  readonly limits?: MemberLimits;
  /** Are there policies, changes of them, and questions? */
  readonly access?: boolean;
}

export interface SimulationReport {
  readonly seed: number;
  readonly violation: Violation | null;
  readonly traceHash: string;
  readonly trace: readonly string[];
  readonly steps: number;
  readonly simulatedMs: number;
  readonly operations: { readonly done: number; readonly none: number; readonly unknown: number };
  readonly elections: number;
  readonly committed: number;
  readonly statesCompared: number;
  readonly faults: ReadonlyMap<string, number>;
  readonly marks: ReadonlyMap<string, number>;
  /** The operations around a violation, as an HTML page. Null: there is none, or it is not about operations. */
  readonly timeline: string | null;
}

const USUAL_FAULT_PHASE_MS = 15_000;
const SERVES_WITHIN_MS = 20_000;
const HEALING_MS = 60_000;
const DEADLINE_MS = 2_000;
/** Of users: the impatient ones are told "unknown" often. */
const DEADLINES_MS = [150, DEADLINE_MS, DEADLINE_MS] as const;
const EVERYONE_IS_SERVED_MS = 10_000;
const LONGER_THAN_ANY_DEADLINE_MS = 5_000;
const WORLDS_WITH_ACCESS = 0.5;
/** So long nobody new may need to lead, after all is well but for a minority. */
const CALM_MS = 20_000;
/**
 * If one of the broken led at first, it may fall, and even win once more before a member that is well leads: that one stays. A livelock
 * makes a new leader each election timeout, ten in that time and more.
 */
const CALM_LEADERS_MAX = 4;
const CALM_TERMS_MAX = 8;
const SEGMENT_BYTES_MAX = 8 * 1024;

/** One world, from its seed to its verdict. Never throws for what the code under test does. */
export function simulate(seed: number, options: SimulationOptions = {}): SimulationReport {
  const stepsMax = STEPS_MAX * Math.max(1, (options.faultPhaseMs ?? 0) / USUAL_FAULT_PHASE_MS);
  const world = new World(seed, { keepTrace: options.keepTrace, stepsMax });
  const simulation = new Simulation(world, options);
  let violation: Violation | null = null;
  try {
    simulation.run();
  } catch (error) {
    violation = violationOf(world, error);
  }
  return simulation.report(violation);
}

function violationOf(world: World, error: unknown): Violation {
  if (error instanceof ViolationError) return error.violation;
  const checker = error instanceof AssertionError ? 'assertions of the code under test' : 'no exceptions';
  const sentence = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { checker, sentence, atMs: world.nowMs };
}

export class Simulation {
  readonly world: World;
  readonly parameters: SwarmParameters;
  readonly network: SimulatedNetwork;
  readonly checkers: Checkers;
  readonly cluster: Cluster;
  readonly history: History;
  readonly users: TrafficUser[] = [];
  readonly clientHosts: Host[] = [];
  readonly gateways: SimulatedGateway[] = [];
  readonly feed: SimulatedFeed;
  readonly nemesis: Nemesis;
  readonly #hasAccess: boolean;
  /** Members that stay broken for ever. */
  #broken: readonly SimulatedMember[] = [];
  /** A client that is never cut off. */
  readonly operator: StoreAccess;
  /** The same client at work as a user, for scenarios: what it does is part of the history. */
  readonly operatorUser: TrafficUser;

  constructor(world: World, options: SimulationOptions = {}) {
    this.world = world;
    const drawn = drawSwarm(world.random.fork(), {
      faultPhaseMs: options.faultPhaseMs ?? USUAL_FAULT_PHASE_MS,
    });
    const random = world.random.fork();
    const isDirected = options.swarm !== undefined;
    const limits = options.limits ?? (isDirected ? DEFAULT_LIMITS : drawLimits(random));
    this.#hasAccess = options.access ?? (!isDirected && random.chance(WORLDS_WITH_ACCESS));
    this.parameters = {
      ...drawn,
      stateMachine: { ...drawn.stateMachine, ...drawStateLimits(random) },
      ...options.swarm,
    };
    const {
      memberCount,
      clientCount,
      gatewayCount,
      keyCount,
      syncMeanMs,
      stateMachine,
      electionTimeoutTicks,
      snapshots,
      snapshotChunkBytes,
      hashEveryEntries,
      turnMeanMs,
      linksAreRedialled,
    } = this.parameters;
    this.checkers = new Checkers(world, { memberCount, limits, stateMachine });
    this.history = new History(world);
    // The beginning is healthy: faults come with the fault phase.
    this.network = new SimulatedNetwork(world, HEALTHY_NETWORK);
    this.cluster = new Cluster(world, this.network, {
      memberCount,
      syncMeanMs,
      segmentBytesMax: SEGMENT_BYTES_MAX,
      stateMachine,
      electionTimeoutTicks,
      snapshots,
      snapshotChunkBytes,
      hashEveryEntries,
      turnMeanMs,
      linksAreRedialled,
      limits,
      checkers: this.checkers,
      drawClock: () => this.drawClock(),
    });
    const hosts = this.cluster.members.map((member) => member.host);
    for (let index = 1; index <= clientCount; index += 1) {
      const host = new Host(world, `c${index}`, this.drawClock());
      hosts.push(host);
      this.clientHosts.push(host);
      const deadlineMs = host.random.pick(DEADLINES_MS);
      this.users.push(this.#user(host, this.#access(host), deadlineMs));
    }
    this.feed = new SimulatedFeed(world, this.cluster, HEALTHY_FEED);
    const { memory } = this.checkers;
    for (let index = 1; index <= gatewayCount; index += 1) {
      const host = new Host(world, `g${index}`, this.drawClock());
      hosts.push(host);
      const recentRevision = (): number | null => this.history.recentRevision;
      const recentToken = (): string | null => this.history.recentToken;
      const options = { keyCount, memory, recentRevision, recentToken };
      this.gateways.push(new SimulatedGateway(world, this.cluster, this.feed, host, options));
    }
    const operatorHost = new Host(world, 'operator', { rate: 1, wallOffsetMs: 0 });
    this.operator = new SdkClient(this.cluster, operatorHost);
    this.operatorUser = this.#user(operatorHost, this.operator, DEADLINE_MS);
    this.nemesis = new Nemesis(world, {
      cluster: this.cluster,
      network: this.network,
      feed: this.feed,
      gateways: this.gateways,
      hosts,
      acknowledgedRevision: () => this.history.newestRevision,
      stateWas: (machine, minRevision, what) => this.checkers.stateHashes.compare(machine, minRevision, what),
    });
  }

  drawClock(): HostClock {
    const { clockRateSpread } = this.parameters;
    const { random } = this.world;
    return {
      rate: 1 + random.between(-clockRateSpread, clockRateSpread),
      wallOffsetMs: random.between(-1, 1) * 600_000,
    };
  }

  #access(host: Host): StoreAccess {
    return host.random.chance(0.7) ? new SdkClient(this.cluster, host) : new DirectClient(this.cluster, host);
  }

  #user(host: Host, access: StoreAccess, deadlineMs: number): TrafficUser {
    const { keyCount, operationGapMs } = this.parameters;
    return new TrafficUser(host, { access, secondAccess: this.#access(host) }, this.history, {
      keyCount,
      operationGapMs,
      deadlineMs,
      kinds: this.#hasAccess ? [...ENTRY_TRAFFIC, ...ACCESS_TRAFFIC] : ENTRY_TRAFFIC,
      concurrency: 1 + host.random.below(3),
      acknowledged: (operation) => this.#tellGateway(host, operation),
    });
  }

  /** Some gateway hears of the write, unless the message is lost: as if the write had gone through it. */
  #tellGateway(user: Host, { namespace, key, revision }: ClientOperation): void {
    if (this.gateways.length === 0 || revision === null) return;
    const gateway = user.random.pick(this.gateways);
    const deliver = (): void => gateway.ownWrite(namespace, key, revision);
    this.network.send(user, gateway.host, `own write ${revision} of ${namespace}/${key}`, deliver, false);
  }

  run(): void {
    this.setUp();
    this.break();
    const core = this.heal();
    this.converge(core);
    this.judge();
  }

  /** A healthy cluster with two namespaces. */
  setUp(): void {
    for (const member of this.cluster.members) member.start();
    for (const [name, kind] of [
      [STRICT_NAMESPACE, 'strict'],
      [CACHED_NAMESPACE, 'cached'],
    ] as const) {
      const response = this.#createNamespace(name, kind);
      if (response.type !== 'written') {
        this.world.violation(
          'a healthy cluster serves',
          `creating ${name} was answered ${describeAnswer(response)}`,
        );
      }
    }
    if (this.#hasAccess) this.#installAccess();
    for (const gateway of this.gateways) gateway.start();
    this.world.tell(`set up: ${this.cluster.members.length} members`);
  }

  /** As an operator would: refused is not yet failed. An election may be under way, or users may crowd the operator out. */
  #createNamespace(namespace: string, kind: 'strict' | 'cached'): StoreResponse {
    const limitMs = this.world.nowMs + SERVES_WITHIN_MS;
    for (;;) {
      const response = this.ask((callback) =>
        this.operator.write({ type: 'createNamespace', namespace, kind }, null, DEADLINE_MS, callback),
      );
      if (response.type === 'written' || this.world.nowMs >= limitMs) return response;
      this.world.runUntil(this.world.nowMs + 100);
    }
  }

  /** As an operator would, too: each attempt is a write of its own. */
  #installAccess(): void {
    const limitMs = this.world.nowMs + SERVES_WITHIN_MS;
    const user = this.operatorUser;
    for (let installed = 0; ;) {
      const change = accessFoundation(() => user.freshName())[installed];
      if (change === undefined) return;
      let told: ClientOperation | null = null;
      user.put(ACCESS_NAMESPACE, change.key, undefined, (done) => (told = done), change.value ?? '');
      this.world.runUntil(limitMs, () => told !== null);
      const operation = this.history.operations.at(-1);
      if (operation?.outcome === 'done') installed += 1;
      else if (this.world.nowMs >= limitMs) {
        const what = operation === undefined ? 'nothing' : describeOperation(operation);
        this.world.violation('a healthy cluster serves', `installing policies: ${what}`);
      }
    }
  }

  /** Safety phase: users at work, everything allowed to break. */
  break(): void {
    const { faultPhaseMs, faults, network, feed } = this.parameters;
    this.network.parameters = network;
    this.feed.parameters = feed;
    for (const user of this.users) user.start();
    for (const gateway of this.gateways) gateway.startReading();
    this.nemesis.start(faults);
    this.world.runUntil(this.world.nowMs + faultPhaseMs);
    this.nemesis.stop();
  }

  /**
   * Healing: a quorum is made whole; in some worlds the others stay broken for ever, because the transient nature of faults hides
   * livelocks. Returns the members that must converge.
   */
  heal(): SimulatedMember[] {
    const { random } = this.world;
    this.nemesis.stop();
    const healthy = random.shuffled(this.cluster.members.filter((member) => !member.isLost));
    const size = random.chance(0.4)
      ? healthy.length
      : this.cluster.quorumSize + random.below(healthy.length - this.cluster.quorumSize + 1);
    const core = healthy.slice(0, size);
    const left = healthy.slice(size);
    this.network.parameters = HEALTHY_NETWORK;
    this.network.mendAll();
    this.feed.parameters = HEALTHY_FEED;
    this.feed.mendAll();
    for (const gateway of this.gateways) if (!gateway.host.isUp) gateway.start();
    for (const member of left) this.#leaveBroken(member, core);
    // Those that lost their log need a majority of the others, and then they are whole again.
    const forgetful = this.cluster.members.filter(({ isLost, wiped, rotten }) => isLost && !wiped && !rotten);
    const whole = [...core, ...forgetful];
    for (const member of whole) runAgain(member);
    this.#broken = left;
    this.world.tell(`healed: ${whole.map((member) => member.host.name).join(' ')}`);
    return whole;
  }

  #leaveBroken(member: SimulatedMember, core: readonly SimulatedMember[]): void {
    const { world, network } = this;
    const how = world.random.pick(Object.keys(PERMANENT_FAULTS));
    world.mark(`left for ever: ${how}`);
    world.tell(`${member.host.name} stays broken: ${how}`);
    PERMANENT_FAULTS[how]?.({ world, network, random: world.random, member, core });
  }

  /** Liveness: the healed members serve again, and become equal. */
  converge(core: readonly SimulatedMember[]): void {
    const { world, feed, gateways } = this;
    world.runUntil(world.nowMs + 2_700);
    if (gateways.length > 0 && world.random.chance(0.3)) {
      world.mark('the end of the feed was lost');
      feed.down = true;
    }
    world.runUntil(world.nowMs + 300);
    for (const user of this.users) user.stop();
    for (const gateway of gateways) gateway.stopReading();
    const served = this.#createNamespace('after-healing', 'cached');
    if (served.type !== 'written') {
      this.world.violation('a healed cluster serves', `a write was answered ${describeAnswer(served)}`);
    }
    const limitMs = this.world.nowMs + HEALING_MS;
    this.world.runUntil(limitMs, () => this.#isQuiet(core));
    if (!this.#isQuiet(core)) {
      const states = core.map(({ id, replica }) => {
        const raft = replica?.raft;
        return `${id}: ${raft?.role ?? 'down'} recovery ${raft?.recovery} applied ${raft?.appliedIndex} commit ${raft?.commitIndex} last ${raft?.lastIndex}`;
      });
      this.world.violation('a healed cluster converges', `after ${HEALING_MS} ms: ${states.join('; ')}`);
    }
    feed.down = false;
    this.#everyoneIsServed();
    if (this.#broken.length > 0) this.#staysCalm(core);
  }

  /** Who was hit by faults may not stay wedged: each user, and each cache at each level, is served as the operator is. */
  #everyoneIsServed(): void {
    for (const user of this.users) {
      this.#soon(`${user.name} writes`, (done) =>
        user.put(STRICT_NAMESPACE, 'key-0', undefined, ({ outcome }) => done(outcome === 'done')),
      );
      this.#soon(`${user.name} reads`, (done) =>
        user.get(STRICT_NAMESPACE, 'key-0', ({ outcome }) => done(outcome === 'done')),
      );
    }
    for (const gateway of this.gateways) {
      for (const level of [{ type: 'linearizable' }, { type: 'bounded', boundMs: 1_500 }] as const) {
        this.#soon(`${gateway.host.name} reads ${level.type}`, (done) =>
          gateway.read(CACHED_NAMESPACE, 'key-0', level, null, ({ outcome }) => done(outcome.type === 'hit')),
        );
      }
    }
  }

  /** Asks until it is served, for a while. */
  #soon(what: string, ask: (done: (served: boolean) => void) => void): void {
    const { world } = this;
    const limitMs = world.nowMs + EVERYONE_IS_SERVED_MS;
    while (world.nowMs < limitMs) {
      const told = { answered: false, served: false };
      ask((served) => Object.assign(told, { answered: true, served }));
      world.runUntil(limitMs, () => told.answered);
      if (told.served) return;
      world.runUntil(world.nowMs + 50);
    }
    world.violation('everyone is served after healing', what);
  }

  /**
   * No livelock: a minority that stays broken may not depose one leader after the other. Pre-vote is there for that.
   */
  #staysCalm(core: readonly SimulatedMember[]): void {
    const { elections } = this.checkers;
    const termOf = (): number => Math.max(...core.map(({ replica }) => replica?.raft.term ?? 0));
    const [leadersBefore, termBefore] = [elections.elections, termOf()];
    this.world.runUntil(this.world.nowMs + CALM_MS);
    const leaders = elections.elections - leadersBefore;
    const terms = termOf() - termBefore;
    if (leaders > 0) this.world.mark('a leader fell although only a minority is broken');
    if (leaders > CALM_LEADERS_MAX || terms > CALM_TERMS_MAX) {
      this.world.violation(
        'a healed cluster stays calm',
        `${leaders} new leaders, ${terms} terms in ${CALM_MS} ms`,
      );
    }
  }

  #isQuiet(core: readonly SimulatedMember[]): boolean {
    if (this.users.some((user) => user.underWay > 0)) return false;
    const states = core.map(({ replica }) => {
      const raft = replica?.raft;
      return raft === undefined || raft.appliedIndex !== raft.lastIndex || raft.recovery !== 0
        ? null
        : `${raft.lastIndex} ${replica?.machine.stateHash()}`;
    });
    return states[0] !== null && states.every((state) => state === states[0]);
  }

  /** What can only be judged from the whole story. */
  judge(): void {
    const { world, history, gateways, checkers } = this;
    const chronicle = new Chronicle(checkers.committedLog.committed, this.parameters.stateMachine);
    const cacheReads = gateways.flatMap((gateway) => gateway.reads);
    for (const { attempts } of this.cluster.members) attempts.judge(checkers.committedLog.committed);
    judge(tellStory(world, { history, chronicle, cacheReads }));
    for (const gateway of gateways) {
      const [rebuild] = gateway.rebuilds;
      if (rebuild !== undefined) throw rebuild;
      checkCacheConvergence(world, gateway, chronicle, this.parameters.keyCount);
    }
    this.#nothingLeft();
  }

  /** Long after the last question: who still waits was forgotten. */
  #nothingLeft(): void {
    const { memory } = this.checkers;
    this.world.runUntil(this.world.nowMs + LONGER_THAN_ANY_DEADLINE_MS);
    for (const user of this.users) memory.nothingLeft(user.name, 'requests', user.outstanding);
    for (const member of this.cluster.members) {
      const { host, replica } = member;
      if (replica === null || !host.isRunning) continue;
      memory.nothingLeft(host.name, 'proposals', replica.load.proposals);
      // Gateways go on probing; and behind a disk that hangs nothing is applied. Nobody has made the disks of lost members well.
      if (this.gateways.length > 0 || this.#broken.includes(member) || member.isLost) continue;
      memory.nothingLeft(host.name, 'reads', replica.load.reads);
      memory.nothingLeft(host.name, 'confirmed reads', replica.load.readsToApply);
    }
    for (const { host, driver } of this.gateways)
      memory.nothingLeft(host.name, 'reads of its cache', driver?.waitingReads ?? 0);
  }

  /** Asks and lets the world go on until the answer is there. */
  ask(start: (callback: (response: StoreResponse) => void) => void): StoreResponse {
    let answer: StoreResponse | null = null;
    start((response) => {
      answer = response;
    });
    this.world.runUntil(this.world.nowMs + 2 * HEALING_MS, () => answer !== null);
    return answer ?? failure('TIMED_OUT');
  }

  report(violation: Violation | null): SimulationReport {
    const count = (outcomes: readonly string[]): number =>
      this.history.operations.filter((operation) => outcomes.includes(operation.outcome)).length;
    return {
      seed: this.world.seed,
      violation,
      traceHash: this.world.traceHash,
      trace: this.world.trace,
      steps: this.world.steps,
      simulatedMs: this.world.nowMs,
      operations: { done: count(['done']), none: count(['none']), unknown: count(['unknown', 'open']) },
      elections: this.checkers.elections.elections,
      committed: this.checkers.committedLog.committed.length,
      statesCompared: this.checkers.stateHashes.compared,
      faults: this.world.faults,
      marks: this.world.marks,
      timeline: this.#timeline(violation),
    };
  }

  #timeline(violation: Violation | null): string | null {
    const offending = violation?.offending ?? [];
    if (violation === null || offending.length === 0) return null;
    const reason = `seed ${this.world.seed}: ${violation.sentence}`;
    return renderTimeline(
      this.history.toCheck(() => null),
      { reason, offending },
    );
  }
}

function describeAnswer(response: StoreResponse): string {
  return response.type === 'failed' ? `${response.code}: ${response.message}` : response.type;
}
