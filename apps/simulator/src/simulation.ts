import { AssertionError } from 'node:assert';
import { failure, type StoreResponse } from '@quorate/api';
import { checkAcknowledgements } from './checkers/acknowledgement-checker.js';
import { Checkers } from './checkers/checkers.js';
import { checkCacheReads } from './checkers/cache-checker.js';
import { checkLinearizability } from './checkers/linearizability-checker.js';
import { Chronicle } from './chronicle.js';
import { Cluster } from './cluster.js';
import { DirectClient } from './direct-client.js';
import { SimulatedGateway, describeRead, type CacheReadRecord } from './gateway.js';
import { History } from './history.js';
import { Host, type HostClock } from './host.js';
import type { SimulatedMember } from './member.js';
import { Nemesis } from './nemesis.js';
import { HEALTHY_NETWORK, SimulatedNetwork } from './network.js';
import type { Sabotage } from './sabotage.js';
import { SdkClient } from './sdk-client.js';
import { SimulatedFeed, type FeedParameters } from './simulated-feed.js';
import type { StoreAccess } from './store-access.js';
import { drawSwarm, type SwarmParameters } from './swarm.js';
import { CACHED_NAMESPACE, STRICT_NAMESPACE, TrafficUser } from './traffic.js';
import { ViolationError, World, type Violation } from './world.js';

export interface SimulationOptions {
  /** Mean length of the phase with faults, simulated milliseconds. Default 15,000. */
  readonly faultPhaseMs?: number;
  readonly keepTrace?: boolean;
  readonly sabotage?: Sabotage;
  /** Replaces what the seed would have drawn. */
  readonly swarm?: Partial<SwarmParameters>;
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
}

const SERVES_WITHIN_MS = 20_000;
const HEALING_MS = 60_000;
const DEADLINE_MS = 2_000;
const CACHE_CONVERGES_MS = 20_000;
const HEALTHY_FEED: FeedParameters = {
  lossProbability: 0,
  duplicateProbability: 0,
  forgeryProbability: 0,
  delayMeanMs: 2,
};
const SEGMENT_BYTES_MAX = 8 * 1024;

/** One world, from its seed to its verdict. Never throws for what the code under test does. */
export function simulate(seed: number, options: SimulationOptions = {}): SimulationReport {
  const world = new World(seed, { keepTrace: options.keepTrace ?? false });
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
  readonly gateways: SimulatedGateway[] = [];
  readonly feed: SimulatedFeed;
  readonly nemesis: Nemesis;
  /** A client that is never cut off. */
  readonly operator: StoreAccess;
  /** The same client at work as a user, for scenarios: what it does is part of the history. */
  readonly operatorUser: TrafficUser;

  constructor(world: World, options: SimulationOptions = {}) {
    this.world = world;
    const drawn = drawSwarm(world.random.fork(), { faultPhaseMs: options.faultPhaseMs ?? 15_000 });
    this.parameters = { ...drawn, ...options.swarm };
    const {
      memberCount,
      clientCount,
      gatewayCount,
      keyCount,
      syncMeanMs,
      stateMachine,
      electionTimeoutTicks,
    } = this.parameters;
    const sabotage = options.sabotage ?? {};
    this.checkers = new Checkers(world);
    this.history = new History(world);
    // The beginning is healthy: faults come with the fault phase.
    this.network = new SimulatedNetwork(world, HEALTHY_NETWORK);
    this.cluster = new Cluster(world, this.network, {
      memberCount,
      syncMeanMs,
      segmentBytesMax: SEGMENT_BYTES_MAX,
      stateMachine,
      electionTimeoutTicks,
      checkers: this.checkers,
      sabotage,
      drawClock: () => this.drawClock(),
    });
    const hostNames = this.cluster.members.map((member) => member.host.name);
    for (let index = 1; index <= clientCount; index += 1) {
      const host = new Host(world, `c${index}`, this.drawClock());
      hostNames.push(host.name);
      this.users.push(this.#user(host, this.#access(host)));
    }
    this.feed = new SimulatedFeed(world, this.cluster, HEALTHY_FEED);
    for (let index = 1; index <= gatewayCount; index += 1) {
      const host = new Host(world, `g${index}`, this.drawClock());
      hostNames.push(host.name);
      this.gateways.push(new SimulatedGateway(world, this.cluster, this.feed, host, { keyCount, sabotage }));
    }
    const operatorHost = new Host(world, 'operator', { rate: 1, wallOffsetMs: 0 });
    this.operator = new SdkClient(this.cluster, operatorHost);
    this.operatorUser = this.#user(operatorHost, this.operator);
    this.nemesis = new Nemesis(world, {
      cluster: this.cluster,
      network: this.network,
      feed: this.feed,
      gateways: this.gateways,
      hostNames,
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

  #user(host: Host, access: StoreAccess): TrafficUser {
    const { keyCount, operationGapMs } = this.parameters;
    return new TrafficUser(host, { access, secondAccess: this.#access(host) }, this.history, {
      keyCount,
      operationGapMs,
      deadlineMs: DEADLINE_MS,
      concurrency: 1 + host.random.below(3),
    });
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
    const healthy = random.shuffled(this.cluster.members.filter((member) => !member.isLost));
    const size = random.chance(0.5)
      ? healthy.length
      : this.cluster.quorumSize + random.below(healthy.length - this.cluster.quorumSize + 1);
    const core = healthy.slice(0, size);
    const left = healthy.slice(size);
    this.network.parameters = HEALTHY_NETWORK;
    this.network.mendAll();
    this.feed.parameters = HEALTHY_FEED;
    this.feed.down = false;
    for (const gateway of this.gateways) if (!gateway.host.isUp) gateway.start();
    for (const member of left) this.#leaveBroken(member, core);
    for (const member of core) {
      member.host.thaw();
      member.disk.onOperation = null;
      if (member.diskFaulty && member.host.isUp) member.stop('process');
      if (!member.host.isUp) member.start();
    }
    this.world.tell(`healed: ${core.map((member) => member.host.name).join(' ')}`);
    return core;
  }

  #leaveBroken(member: SimulatedMember, core: readonly SimulatedMember[]): void {
    const { random } = this.world;
    const how = random.pick(['half cut off', 'dead', 'frozen', 'disk hangs'] as const);
    this.world.mark(`left for ever: ${how}`);
    this.world.tell(`${member.host.name} stays broken: ${how}`);
    switch (how) {
      case 'half cut off':
        return this.#cutHalf(member, core);
      case 'dead':
        if (member.host.isUp) member.stop('power');
        return;
      case 'frozen':
        return member.host.freeze();
      case 'disk hangs':
        // It answers, votes and heartbeats as far as its memory goes, and must not be in anybody's way (P22).
        member.host.thaw();
        if (member.diskFaulty && member.host.isUp) member.stop('process');
        if (!member.host.isUp) member.start();
        member.diskFaulty = true;
        member.disk.hangSyncs = true;
    }
  }

  #cutHalf(member: SimulatedMember, core: readonly SimulatedMember[]): void {
    const { random } = this.world;
    const inward = random.chance(0.5);
    for (const other of core) {
      if (inward || random.chance(0.5)) this.network.cut(other.host.name, member.host.name);
      if (!inward || random.chance(0.5)) this.network.cut(member.host.name, other.host.name);
    }
  }

  /** Liveness: the healed members serve again, and become equal. */
  converge(core: readonly SimulatedMember[]): void {
    this.world.runUntil(this.world.nowMs + 3_000);
    for (const user of this.users) user.stop();
    for (const gateway of this.gateways) gateway.stopReading();
    const served = this.#createNamespace('after-healing', 'cached');
    if (served.type !== 'written') {
      this.world.violation('a healed cluster serves', `a write was answered ${describeAnswer(served)}`);
    }
    const limitMs = this.world.nowMs + HEALING_MS;
    this.world.runUntil(limitMs, () => this.#isQuiet(core));
    if (!this.#isQuiet(core)) {
      const states = core.map(({ id, replica }) => {
        const raft = replica?.raft;
        return `${id}: ${raft?.role ?? 'down'} applied ${raft?.appliedIndex} commit ${raft?.commitIndex} last ${raft?.lastIndex}`;
      });
      this.world.violation('a healed cluster converges', `after ${HEALING_MS} ms: ${states.join('; ')}`);
    }
  }

  #isQuiet(core: readonly SimulatedMember[]): boolean {
    if (this.users.some((user) => user.underWay > 0)) return false;
    const states = core.map(({ replica }) => {
      const raft = replica?.raft;
      return raft === undefined || raft.appliedIndex !== raft.lastIndex
        ? null
        : `${raft.lastIndex} ${replica?.machine.stateHash()}`;
    });
    return states[0] !== null && states.every((state) => state === states[0]);
  }

  /** What can only be judged from the whole story. */
  judge(): void {
    const chronicle = new Chronicle(this.checkers.logs.committed, this.parameters.stateMachine);
    const tookEffect = checkAcknowledgements(this.world, this.history.operations, chronicle);
    checkLinearizability(this.world, this.history, tookEffect);
    for (const gateway of this.gateways) {
      checkCacheReads(this.world, gateway.reads, this.history.operations, chronicle);
      const [rebuild] = gateway.rebuilds;
      if (rebuild !== undefined) throw rebuild;
      this.#checkConverged(gateway, chronicle);
    }
  }

  /** In the end every cache shows what the store has. */
  #checkConverged(gateway: SimulatedGateway, chronicle: Chronicle): void {
    for (let index = 0; index < this.parameters.keyCount; index += 1) {
      const key = `key-${index}`;
      const latest = chronicle.latest(CACHED_NAMESPACE, key, Infinity);
      const expected = latest?.value ?? null;
      const told = this.#readUntil(gateway, key, expected);
      if (told.some((read) => isHit(read) && read.value === expected)) continue;
      const last = told.at(-1);
      this.world.violation(
        'caches converge',
        `${gateway.host.name}: ${last === undefined ? 'no answer' : describeRead(last)}; the store has ${expected ?? 'nothing'}`,
      );
    }
  }

  #readUntil(gateway: SimulatedGateway, key: string, expected: string | null): readonly CacheReadRecord[] {
    const told: CacheReadRecord[] = [];
    const limitMs = this.world.nowMs + CACHE_CONVERGES_MS;
    while (this.world.nowMs < limitMs && !told.some((read) => isHit(read) && read.value === expected)) {
      gateway.read(CACHED_NAMESPACE, key, { type: 'eventual' }, null, (read) => told.push(read));
      this.world.runUntil(this.world.nowMs + 200);
    }
    return told;
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
      committed: this.checkers.logs.committedCount,
      statesCompared: this.checkers.stateHashes.compared,
      faults: this.world.faults,
      marks: this.world.marks,
    };
  }
}

function isHit(read: CacheReadRecord): boolean {
  return read.outcome.type === 'hit';
}

function describeAnswer(response: StoreResponse): string {
  return response.type === 'failed' ? `${response.code}: ${response.message}` : response.type;
}
