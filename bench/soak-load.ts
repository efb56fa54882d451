import { setTimeout as sleep } from 'node:timers/promises';
import type { ReadLevel } from '@quorate/api';
import { Histogram } from './histogram.js';
import {
  Acknowledgements,
  type Asked,
  AuditTally,
  Lives,
  type SeenRead,
  type Violation,
  judge,
  verdictOf,
} from './soak-audit.js';
import type { ReadOutcome, SoakRequests } from './soak-requests.js';

const KEYS = 500;
const WRITES_PER_SECOND = 200;
/** Of each gateway. Eventual reads come besides from whoever waits for a write to be seen. */
const READS_PER_SECOND = { eventual: 50, bounded: 5, linearizable: 5 } as const;
const BOUNDS_MS = [200, 1_000, 5_000] as const;
/** One acknowledged write in so many is read with its token at the gateway that it did not go through. */
const SESSION_EVERY = 10;
/** One acknowledged write in so many is audited, at each gateway and after each of these times. */
const AUDIT_EVERY = 10;
const AUDIT_SECONDS = [1, 5, 60] as const;
const AUDITS_MAX = 5_000;
/** More is not sent: a machine that is too slow for the load should say so and not fill its memory. */
const [WRITES_UNDER_WAY_MAX, READS_UNDER_WAY_MAX, WATCHES_MAX] = [256, 64, 128];
const TICK_MS = 5;
/** How often a write is looked for: every 2 ms, and every tenth of the time that it has taken already. */
const [WATCH_MS, WATCH_SHARE] = [2, 0.1];
const WATCH_TIMEOUT_MS = 30_000;
const CALM_MS = 5_000;
const STORIES_MAX = 50;

/** What a time to be seen is counted under. */
export type Weather = 'calm, NATS runs' | 'calm, NATS is away' | 'within 5 s of a fault';
export type Phase = 'before' | 'during' | 'after';

/** Times in milliseconds. */
export interface Times {
  readonly histogram: Histogram;
  maxMs: number;
}

/** Eventual reads at a fixed rate, around the loss of the whole store. */
export interface PhaseFigures {
  readonly times: Times;
  asked: number;
  answered: number;
}

/** What the gateways said of their age while no member ran. */
export interface LossFigures {
  answers: number;
  withoutBound: number;
  /** Bounds of the first and the last answer. */
  firstMs: number;
  lastMs: number;
  /** By how much a bound was above the time since the last member went: that of the last probe before. */
  excessMaxMs: number;
  withoutQuorum: number;
}

/** Writers, readers and auditors of a soak. They know the gateways by their REST API alone. */
export class SoakLoad {
  readonly counts = new Map<string, number>();
  readonly tally = new AuditTally();
  readonly lives: Lives;
  readonly visibility = new Map<string, Times>();
  /** Between two looks for a write that was not there yet: the resolution of `visibility`. */
  readonly looks = newTimes();
  readonly phases: Record<Phase, PhaseFigures> = {
    before: { times: newTimes(), asked: 0, answered: 0 },
    during: { times: newTimes(), asked: 0, answered: 0 },
    after: { times: newTimes(), asked: 0, answered: 0 },
  };
  readonly loss: LossFigures = {
    answers: 0,
    withoutBound: 0,
    firstMs: NaN,
    lastMs: NaN,
    excessMaxMs: 0,
    withoutQuorum: 0,
  };
  readonly stories: string[] = [];
  violations = 0;
  phase: Phase | null = null;
  /** Since when no member runs; null: some do. */
  lostSinceMs: number | null = null;
  natsRuns: boolean;
  #faultMs = performance.now();

  readonly #acknowledgements = new Acknowledgements();
  readonly #underWay = new Set<Promise<void>>();
  /** Keys whose last write has no answer yet. */
  readonly #busy = new Set<string>();
  /**
   * The revision of a key as its last writer knows it; none after a write without a sure outcome. Each write goes over exactly one revision: one
   * that was given up and still happens then cannot undo a later one, and values grow whatever is delayed.
   */
  readonly #revisions = new Map<string, number>();
  readonly #audits = AUDIT_SECONDS.map((seconds) => ({ seconds, due: [] as AuditDue[] }));
  #timer: NodeJS.Timeout | null = null;
  #nextKey = 0;
  #watches = 0;

  constructor(
    private readonly gateways: readonly SoakRequests[],
    private readonly random: () => number,
    private readonly tell: (line: string) => void,
    hasNats: boolean,
  ) {
    this.lives = new Lives(gateways.length);
    this.natsRuns = hasNats;
  }

  /** Something was killed or came back: what is seen about now is no calm time. */
  noteFault(): void {
    this.#faultMs = performance.now();
  }

  start(): void {
    const places = this.gateways.map((_, gateway) => gateway);
    let turn = 0;
    const streams: readonly Stream[] = [
      new Stream('writes', WRITES_PER_SECOND, WRITES_UNDER_WAY_MAX, () => this.#write((turn += 1))),
      ...places.flatMap((gateway) => [
        new Stream('eventual reads', READS_PER_SECOND.eventual, READS_UNDER_WAY_MAX, () =>
          this.#pacedRead(gateway),
        ),
        new Stream('bounded reads', READS_PER_SECOND.bounded, READS_UNDER_WAY_MAX, async () => {
          const ms = BOUNDS_MS[Math.floor(this.random() * BOUNDS_MS.length)] ?? BOUNDS_MS[0];
          await this.#read(gateway, this.#anyKey(), { level: 'bounded', ms });
        }),
        new Stream('linearizable reads', READS_PER_SECOND.linearizable, READS_UNDER_WAY_MAX, async () => {
          await this.#read(gateway, this.#anyKey(), { level: 'linearizable' });
        }),
      ]),
    ];
    const startedMs = performance.now();
    this.#timer = setInterval(() => {
      const nowMs = performance.now();
      for (const stream of streams) {
        const { left, skipped } = stream.due(nowMs - startedMs);
        if (skipped > 0) this.#count(`${stream.name} not sent, too many under way`, skipped);
        for (let at = 0; at < left; at += 1) this.#track(stream.run().finally(() => stream.done()));
      }
      this.#audit(nowMs);
    }, TICK_MS);
  }

  /** Sends nothing more and waits for what is under way; audits that are not due yet are dropped. */
  async stop(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer);
    for (const { seconds, due } of this.#audits) this.#count(`audits after ${seconds} s not due`, due.length);
    while (this.#underWay.size > 0) await Promise.all(this.#underWay);
  }

  /**
   * When all is well again: each key, linearizably, must hold what was acknowledged, and each cache must come to show it within `timeoutMs`.
   */
  async checkEnd(timeoutMs: number): Promise<void> {
    const deadlineMs = performance.now() + timeoutMs;
    for (let number = 0; number < KEYS; number += 1) {
      const key = keyOf(number);
      await this.#untilRead(deadlineMs, `${key} linearizably`, 0, key, { level: 'linearizable' }, () => true);
      const least = this.#acknowledgements.floor(key, Infinity);
      for (const gateway of this.gateways.keys()) {
        const what = `${key}=${least} in the cache of gateway ${gateway + 1}`;
        await this.#untilRead(
          deadlineMs,
          what,
          gateway,
          key,
          { level: 'eventual' },
          (value) => value >= least,
        );
      }
    }
  }

  async #untilRead(
    deadlineMs: number,
    what: string,
    gateway: number,
    key: string,
    asked: Asked,
    isEnough: (value: number) => boolean,
  ): Promise<void> {
    for (;;) {
      const outcome = await this.#read(gateway, key, asked);
      if (outcome.type === 'value' && isEnough(outcome.value)) return;
      if (performance.now() > deadlineMs) return this.#violate(`never came: ${what}`);
      await sleep(20);
    }
  }

  async #write(turn: number): Promise<void> {
    const key = this.#freeKey();
    if (key === null) return this.#count('writes not sent, all keys are busy', 1);
    this.#busy.add(key);
    try {
      await this.#writeKey(turn % this.gateways.length, key);
    } finally {
      this.#busy.delete(key);
    }
  }

  async #writeKey(gateway: number, key: string): Promise<void> {
    const over = this.#revisions.get(key) ?? (await this.#currentRevision(gateway, key));
    if (over === null) return;
    const value = this.#acknowledgements.largestSent(key) + 1;
    this.#acknowledgements.send(key, value);
    this.#revisions.delete(key);
    const outcome = await this.#requests(gateway).write(key, value, over);
    const { type, token, revision, reason, isWrong } = outcome;
    const atMs = performance.now();
    if (revision !== null) this.#revisions.set(key, revision);
    else if (type === 'none' && reason !== 'PRECONDITION_FAILED') this.#revisions.set(key, over);
    this.#count(type === 'acknowledged' ? 'writes acknowledged' : `writes ${type}: ${reason}`, 1);
    if (isWrong) this.#violate(`a write of ${key} at gateway ${gateway + 1} was answered ${reason}`);
    if (type !== 'acknowledged') return;
    this.#acknowledgements.acknowledge(key, value, atMs);
    const acknowledged = this.counts.get('writes acknowledged') ?? 0;
    if (acknowledged % AUDIT_EVERY === 0) this.#planAudits({ key, value, atMs });
    if (acknowledged % SESSION_EVERY === 1) {
      const other = (gateway + 1) % this.gateways.length;
      this.#track(this.#read(other, key, { level: 'session', value }, token).then(() => undefined));
    }
    if (this.#watches + this.gateways.length > WATCHES_MAX) return this.#count('writes not watched', 1);
    this.#track(this.#watchAll(gateway, key, value, atMs));
  }

  async #currentRevision(gateway: number, key: string): Promise<number | null> {
    const outcome = await this.#read(gateway, key, { level: 'linearizable' });
    return outcome.type === 'value' ? outcome.revision : null;
  }

  /** Until the write is seen in each gateway, as eventual reads show it. */
  async #watchAll(through: number, key: string, value: number, atMs: number): Promise<void> {
    const weather = this.#weather(atMs);
    const found = await Promise.all(
      this.gateways.map((_, gateway) => this.#watch(gateway, key, value, atMs)),
    );
    const actual = this.#faultMs > atMs - CALM_MS ? 'within 5 s of a fault' : weather;
    const times = found.filter((ms) => ms !== null);
    for (const [gateway, ms] of found.entries()) {
      if (ms === null) continue;
      this.#visible(actual, gateway === through ? 'the gateway of the write' : 'the other gateway', ms);
    }
    if (times.length === found.length) this.#visible(actual, 'both gateways', Math.max(...times));
  }

  async #watch(gateway: number, key: string, value: number, atMs: number): Promise<number | null> {
    const life = this.lives.life(gateway);
    this.#watches += 1;
    let lookedMs = atMs;
    try {
      for (;;) {
        const outcome = await this.#read(gateway, key, { level: 'eventual' });
        if (this.lives.life(gateway) !== life) {
          this.#count('watched writes whose gateway was killed', 1);
          return null;
        }
        add(this.looks, outcome.atMs - lookedMs);
        lookedMs = outcome.atMs;
        const passedMs = outcome.atMs - atMs;
        if (outcome.type === 'value' && outcome.value >= value) return passedMs;
        if (passedMs > WATCH_TIMEOUT_MS) {
          this.#count('watched writes not seen within 30 s', 1);
          this.tell(`not seen within 30 s: ${key}=${value} at gateway ${gateway + 1}`);
          return null;
        }
        await sleep(Math.max(WATCH_MS, passedMs * WATCH_SHARE));
      }
    } finally {
      this.#watches -= 1;
    }
  }

  #weather(atMs: number): Weather {
    if (this.#faultMs > atMs - CALM_MS) return 'within 5 s of a fault';
    return this.natsRuns ? 'calm, NATS runs' : 'calm, NATS is away';
  }

  #visible(weather: Weather, where: string, ms: number): void {
    const id = `${weather} | ${where}`;
    const times = this.visibility.get(id) ?? newTimes();
    this.visibility.set(id, times);
    add(times, ms);
  }

  #planAudits(written: { readonly key: string; readonly value: number; readonly atMs: number }): void {
    const { key, value, atMs } = written;
    for (const { seconds, due } of this.#audits) {
      if (due.length >= AUDITS_MAX) this.#count('audits left out, too many wait', 1);
      else due.push({ key, value, dueMs: atMs + seconds * 1_000 });
    }
  }

  #audit(nowMs: number): void {
    for (const { seconds, due } of this.#audits) {
      while ((due[0]?.dueMs ?? Infinity) <= nowMs) {
        const one = due.shift();
        if (one === undefined) break;
        for (const gateway of this.gateways.keys()) this.#track(this.#auditOne(gateway, seconds, one));
      }
    }
  }

  async #auditOne(gateway: number, seconds: number, { key, value }: AuditDue): Promise<void> {
    const outcome = await this.#read(gateway, key, { level: 'eventual' });
    const verdict = verdictOf(outcome.type === 'value' ? outcome.value : null, value);
    this.tally.add(gateway, seconds, verdict);
    if (verdict === 'stale') {
      this.tell(`stale after ${seconds} s at gateway ${gateway + 1}: ${key}=${value} ${describe(outcome)}`);
    }
  }

  async #pacedRead(gateway: number): Promise<void> {
    const phase = this.phase === null ? null : this.phases[this.phase];
    if (phase !== null) phase.asked += 1;
    const outcome = await this.#read(gateway, this.#anyKey(), { level: 'eventual' });
    if (phase === null || outcome.type !== 'value') return;
    phase.answered += 1;
    add(phase.times, outcome.atMs - outcome.sentMs);
  }

  /** One read, judged. */
  async #read(gateway: number, key: string, asked: Asked, token: string | null = null): Promise<ReadOutcome> {
    const level: ReadLevel =
      asked.level === 'bounded' ? { level: 'bounded', ms: asked.ms } : { level: asked.level };
    const before = this.lives.before(gateway, key);
    const outcome = await this.#requests(gateway).read(key, level, token);
    if (outcome.type === 'unavailable') {
      const { reason, isWrong } = outcome;
      this.#count(`${asked.level} reads unavailable: ${reason}`, 1);
      if (isWrong)
        this.#violate(`a read (${asked.level}) of ${key} at gateway ${gateway + 1} was answered ${reason}`);
      return outcome;
    }
    this.#count(`${asked.level} reads answered`, 1);
    if (outcome.isLinearizable && asked.level !== 'linearizable') {
      this.#count(`${asked.level} reads answered linearizably`, 1);
    }
    const { value, isLinearizable, stalenessMs, sentMs } = outcome;
    const seen: SeenRead = { gateway, key, asked, isLinearizable, stalenessMs, value, sentMs };
    for (const violation of judge(seen, this.#acknowledgements)) this.#violated(violation, outcome);
    const backwards = isLinearizable ? null : this.lives.see(seen, before);
    if (backwards !== null) this.#violated(backwards, outcome);
    this.#judgeLoss(gateway, outcome);
    return outcome;
  }

  /** No member could have confirmed anything since the last of them was gone. */
  #judgeLoss(gateway: number, outcome: ReadOutcome & { readonly type: 'value' }): void {
    const { lostSinceMs, loss } = this;
    if (lostSinceMs === null || outcome.sentMs < lostSinceMs || outcome.isLinearizable) return;
    const { stalenessMs, ageSeconds, quorum, sentMs } = outcome;
    loss.answers += 1;
    if (quorum === false) loss.withoutQuorum += 1;
    if (stalenessMs === null) {
      loss.withoutBound += 1;
      return;
    }
    if (Number.isNaN(loss.firstMs)) loss.firstMs = stalenessMs;
    loss.lastMs = stalenessMs;
    const leastMs = sentMs - lostSinceMs;
    loss.excessMaxMs = Math.max(loss.excessMaxMs, stalenessMs - leastMs);
    const saidMs = Math.min(stalenessMs, (ageSeconds ?? Infinity) * 1_000);
    if (saidMs < leastMs) {
      const story = `gateway ${gateway + 1} said ${saidMs} ms, ${leastMs.toFixed(0)} ms after the last member was gone`;
      this.#violated({ broken: 'staleness', story }, outcome);
    }
  }

  #violated({ broken, story }: Violation, outcome: ReadOutcome): void {
    this.#count(`VIOLATIONS: ${broken}`, 1);
    this.#violate(`${broken}: ${story}; ${describe(outcome)}`);
  }

  #violate(story: string): void {
    this.violations += 1;
    if (this.stories.length >= STORIES_MAX) return;
    this.stories.push(story);
    this.tell(`VIOLATION ${story}`);
  }

  #freeKey(): string | null {
    for (let tries = 0; tries < KEYS; tries += 1) {
      const key = keyOf(this.#nextKey);
      this.#nextKey = (this.#nextKey + 1) % KEYS;
      if (!this.#busy.has(key)) return key;
    }
    return null;
  }

  #anyKey(): string {
    return keyOf(Math.floor(this.random() * KEYS));
  }

  #requests(gateway: number): SoakRequests {
    const requests = this.gateways[gateway];
    if (requests === undefined) throw new Error(`there is no gateway ${gateway}`);
    return requests;
  }

  #count(what: string, by: number): void {
    if (by > 0) this.counts.set(what, (this.counts.get(what) ?? 0) + by);
  }

  #track(work: Promise<void>): void {
    this.#underWay.add(work);
    void work.finally(() => this.#underWay.delete(work));
  }
}

interface AuditDue {
  readonly key: string;
  readonly value: number;
  readonly dueMs: number;
}

/** Requests at a fixed rate, whether or not earlier ones were answered; within a bound. */
class Stream {
  #sent = 0;
  #underWay = 0;

  constructor(
    readonly name: string,
    private readonly perSecond: number,
    private readonly underWayMax: number,
    readonly run: () => Promise<void>,
  ) {}

  /** How many are due now, and how many are given up because too many are under way. */
  due(passedMs: number): { readonly left: number; readonly skipped: number } {
    const due = Math.floor((passedMs * this.perSecond) / 1_000) - this.#sent;
    const left = Math.max(0, Math.min(due, this.underWayMax - this.#underWay));
    this.#sent += due;
    this.#underWay += left;
    return { left, skipped: due - left };
  }

  done(): void {
    this.#underWay -= 1;
  }
}

function keyOf(number: number): string {
  return `key-${number}`;
}

function newTimes(): Times {
  return { histogram: new Histogram(), maxMs: 0 };
}

function add(times: Times, ms: number): void {
  times.histogram.add(ms * 1_000);
  times.maxMs = Math.max(times.maxMs, ms);
}

function describe(outcome: ReadOutcome): string {
  if (outcome.type === 'unavailable') return `was unavailable (${outcome.reason})`;
  const { value, stalenessMs, isLinearizable, sentMs, atMs } = outcome;
  const worth = isLinearizable ? 'linearizable' : `staleness ${stalenessMs ?? 'unknown'} ms`;
  return `was answered ${value} (${worth}) between ${sentMs.toFixed(1)} and ${atMs.toFixed(1)} ms`;
}
