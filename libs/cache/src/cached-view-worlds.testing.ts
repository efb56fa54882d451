import assert from 'node:assert/strict';
import { revision } from '@quorate/kv';
import type { Change, Entry } from '@quorate/kv';
import { CachedView } from './cached-view.js';
import { batch, entry, NAMESPACES } from './scenario.testing.js';
import type { Moment } from './elapsed.js';
import type { CacheCommand, CacheEvent, CacheReadLevel, Instant } from './types.js';

export const FIRST_PEEK_SEED = 1001;
export const PEEK_WORLDS = 80;
export const KEYS = ['a', 'b', 'c', 'd', 'e', 'f'];

interface Commit {
  readonly atMs: number;
  /** Null: a strict write, nothing is published. */
  readonly change: Change | null;
}

interface OpenRead {
  /** Null: a list of all. */
  readonly key: string | null;
  readonly level: CacheReadLevel;
  readonly epoch: number;
  readonly head: number;
  readonly floor: number;
  readonly arrivedMs: number;
}

/** What was peeked, and is looked at again later. */
interface Peeked {
  readonly epoch: number;
  readonly revision: number;
  readonly confirmation: Moment | null;
}

/** A store with its whole history, a bad network and one view; every answer is held against the history. */
export class World {
  readonly #random: () => number;
  readonly view: CachedView;
  readonly reads = new Map<number, OpenRead>();
  readonly seen = { hits: 0, filled: 0, lists: 0, linearizable: 0, bounded: 0, fallbacks: 0, refused: 0 };
  readonly peeks = { shown: 0, misses: 0, notReady: 0, bounds: 0, proofs: 0, unproven: 0 };
  readonly #proofs = new Map<number, { readonly epoch: number; readonly head: number }>();
  readonly #peeked: Peeked[] = [];
  // Epoch n is at position n - 1; commit of revision r at position r - 1.
  readonly #histories: Commit[][] = [[]];
  readonly #floors = new Map<string, number>();
  readonly #network: { readonly dueMs: number; readonly run: () => void }[] = [];
  #oldest = 0;
  #nowMs = 0;
  // Stands still in suspend; #nowMs is the true time, which no clock of the view's shows.
  #monotonicMs = 0;
  #wallMs = 1_000_000;
  #highest = { epoch: 0, revision: 0 };
  #readId = 0;
  #asleep = false;
  faulty = true;

  constructor(seed: number) {
    this.#random = mulberry32(seed);
    const bytesMax = 800 + Math.floor(this.#random() * 1500);
    // Never whole, whole as long as it is small, or whole for good.
    const wholeNamespaceBytesMax = this.#pick([0, 1500, 100_000]);
    this.view = new CachedView({
      random: this.#random,
      bytesMax,
      wholeNamespaceBytesMax,
      waitMs: 400,
      fillsMax: 4,
      floorsMax: 3,
    });
  }

  get epoch(): number {
    return this.#histories.length;
  }
  get #history(): Commit[] {
    return this.#histories[this.epoch - 1] ?? [];
  }
  get head(): number {
    return this.#history.length;
  }
  get #published(): number {
    return this.#history.findLastIndex((commit) => commit.change !== null) + 1;
  }

  chance(probability: number): boolean {
    return this.#random() < probability;
  }
  #below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }
  #pick<Item>(items: readonly Item[]): Item {
    const item = items[this.#below(items.length)];
    assert(item !== undefined);
    return item;
  }

  valueAt(epoch: number, key: string, at: number): Entry | null {
    const commits = this.#histories[epoch - 1]?.slice(0, at) ?? [];
    for (const { change } of commits.toReversed()) {
      if (change?.type === 'put' && change.entry.key === key) return change.entry;
      if (change?.type === 'delete' && change.key === key) return null;
    }
    return null;
  }

  write(): void {
    const at = this.head + 1;
    const key = this.#pick(KEYS);
    const previous = this.#published;
    const strict = this.chance(0.2);
    const change: Change = this.chance(0.25)
      ? { type: 'delete', namespace: 'pages', key, revision: revision(at) }
      : {
          type: 'put',
          entry: entry(key, at, `${key}@${at} of ${this.epoch} ${'x'.repeat(this.#below(200))}`),
        };
    this.#history.push({ atMs: this.#nowMs, change: strict ? null : change });
    if (strict) return;
    this.#publish({ type: 'feedBatch', batch: batch(previous, at, [change], this.epoch) });
    if (this.#asleep || !this.chance(0.3)) return;
    this.#floors.set(key, at);
    this.event({ type: 'ownWrite', namespace: 'pages', key, revision: revision(at) });
  }

  #publish(event: CacheEvent & { readonly type: 'feedBatch' }): void {
    const copies = !this.faulty ? 1 : this.chance(0.25) ? 0 : this.chance(0.2) ? 2 : 1;
    const sent: CacheEvent =
      this.faulty && this.chance(0.1) ? { ...event.batch, type: 'feedOversize' } : event;
    for (let copy = 0; copy < copies; copy += 1)
      this.#later(this.faulty ? this.#below(300) : 2, () => this.event(sent));
  }

  /** Unsafe recovery: the newest commits are lost, their revisions come again with other content. */
  loseTail(): void {
    this.#histories.push(this.#history.slice(0, Math.max(0, this.head - this.#below(4))));
    this.#floors.clear();
    this.#oldest = Math.min(this.#oldest, this.head);
  }

  compact(): void {
    this.#oldest = Math.max(this.#oldest, this.head - this.#below(4));
  }

  read(level: CacheReadLevel, key = this.#pick(KEYS)): void {
    this.#readId += 1;
    const floor = this.#floors.get(key) ?? 0;
    const min = this.chance(0.1) ? this.#below(this.head + 1) : null;
    this.reads.set(this.#readId, {
      key,
      level,
      epoch: this.epoch,
      head: this.head,
      floor: Math.max(floor, min ?? 0),
      arrivedMs: this.#nowMs,
    });
    const minRevision = min === null ? null : revision(min);
    this.event({
      type: 'read',
      readId: this.#readId,
      namespace: 'pages',
      key,
      level,
      minRevision,
      token: null,
    });
  }

  list(level: CacheReadLevel): void {
    this.#readId += 1;
    const floor = Math.max(0, ...this.#floors.values());
    this.reads.set(this.#readId, {
      key: null,
      level,
      epoch: this.epoch,
      head: this.head,
      floor,
      arrivedMs: this.#nowMs,
    });
    this.event({
      type: 'list',
      readId: this.#readId,
      namespace: 'pages',
      prefix: '',
      limit: KEYS.length,
      level,
      minRevision: null,
      token: null,
    });
  }

  /** C30: shows what an eventual read shows at the same moment, or nothing. */
  peek(): void {
    const key = this.#pick(KEYS);
    const held = this.view.peek('pages', key);
    assert(held !== 'strict', 'the namespace is cached');
    if (held === 'notReady') this.peeks.notReady += 1;
    else if (held === 'miss') this.peeks.misses += 1;
    if (typeof held === 'string') return;
    const [epoch, at] = [this.view.epoch ?? 0, this.view.watermark ?? 0];
    assert.deepEqual(held.entry, this.valueAt(epoch, key, at), `${key} is not the value at ${at}`);
    if (epoch === this.epoch) assert(at >= (this.#floors.get(key) ?? 0), 'peeked below the floor');
    this.#peeked.push({ epoch, revision: at, confirmation: this.view.confirmation });
    const readId = (this.#readId += 1);
    const read = {
      readId,
      namespace: 'pages',
      key,
      level: { type: 'eventual' },
      minRevision: null,
      token: null,
    } as const;
    const commands = this.view.handle({ type: 'read', ...read }, this.#now());
    const [answer, ...others] = commands;
    assert(answer?.type === 'answer' && answer.outcome.type === 'hit', 'an eventual read would wait');
    const { outcome } = answer;
    assert.deepEqual([outcome.entry, outcome.epoch, outcome.revision], [held.entry, epoch, at]);
    for (const command of others) this.#take(command);
    this.peeks.shown += 1;
  }

  prove(): void {
    this.#readId += 1;
    this.#proofs.set(this.#readId, { epoch: this.epoch, head: this.head });
    this.event({ type: 'prove', readId: this.#readId });
  }

  /** C33: what is peeked from now on has everything that there was when the proof was asked for. */
  #checkProof(command: CacheCommand & { readonly type: 'answer' | 'fallback' | 'proven' }): void {
    const proof = this.#proofs.get(command.readId);
    assert(proof !== undefined, 'a proof ends once');
    this.#proofs.delete(command.readId);
    if (command.type !== 'proven') {
      this.peeks.unproven += 1;
      return;
    }
    const [epoch, at] = [this.view.epoch ?? 0, this.view.watermark ?? 0];
    assert(epoch >= proof.epoch && (epoch > proof.epoch || at >= proof.head), 'a proof of less');
    this.peeks.proofs += 1;
  }

  get openProofs(): number {
    return this.#proofs.size;
  }

  /** C31: whenever one looks, the bound covers every change that the answer does not have. */
  lookAtPeeked(): void {
    for (const { epoch, revision: at, confirmation } of this.#peeked.splice(0)) {
      if (confirmation === null) continue;
      const boundMs = this.view.stalenessSince(confirmation, this.#now());
      for (const commit of this.#unseen(epoch, at))
        assert(commit.atMs >= this.#nowMs - boundMs, 'staleness of a peek understated');
      this.peeks.bounds += 1;
    }
  }

  randomRead(): void {
    if (this.chance(0.1)) this.list(this.chance(0.8) ? { type: 'eventual' } : { type: 'linearizable' });
    const roll = this.#random();
    if (roll < 0.6) this.read({ type: 'eventual' });
    else if (roll < 0.8) this.read({ type: 'linearizable' });
    else this.read({ type: 'bounded', boundMs: this.#below(400) });
  }

  pass(ms: number): void {
    this.#wallMs += ms + (this.faulty && this.chance(0.02) ? this.#below(2000) - 1000 : 0);
    this.#nowMs += ms;
    this.#monotonicMs += ms;
    this.#deliver();
    this.event({ type: 'tick' });
  }

  /** The machine sleeps while the store goes on; the first event after it sees the jump of the wall clock. */
  suspend(ms: number): void {
    for (let write = 0; write < 2; write += 1) {
      this.#nowMs += ms / 2;
      this.#wallMs += ms / 2;
      this.#asleep = true;
      this.write();
      this.#asleep = false;
    }
    this.event({ type: 'tick' });
    this.#deliver();
    // The time service puts the clock right, right after.
    if (this.chance(0.7)) this.#wallMs -= this.#below(2 * ms);
    this.event({ type: 'tick' });
  }

  #deliver(): void {
    for (;;) {
      const index = this.#network.findIndex(({ dueMs }) => dueMs <= this.#nowMs);
      const [message] = index < 0 ? [] : this.#network.splice(index, 1);
      if (message === undefined) break;
      message.run();
    }
  }

  #later(delayMs: number, run: () => void): void {
    this.#network.push({ dueMs: this.#nowMs + delayMs, run });
  }

  #now(): Instant {
    return { monotonicMs: this.#monotonicMs, wallMs: this.#wallMs };
  }

  event(event: CacheEvent): void {
    for (const command of this.view.handle(event, this.#now())) {
      this.#take(command);
    }
  }

  #take(command: CacheCommand): void {
    if (command.type === 'proven') this.#checkProof(command);
    else if (command.type !== 'answer' && command.type !== 'fallback') this.#serve(command);
    else if (this.#proofs.has(command.readId)) this.#checkProof(command);
    else this.#check(command);
  }

  #serve(command: CacheCommand): void {
    this.#later(this.faulty ? this.#below(60) : 1, () => {
      const answer = this.#answer(command);
      if (answer !== null) this.#later(this.faulty ? this.#below(200) : 1, () => this.event(answer));
    });
  }

  #answer(command: CacheCommand): CacheEvent | null {
    const fails = this.faulty && this.chance(0.2);
    // Members that are behind answer all but probes.
    const applied = this.faulty ? Math.max(0, this.head - this.#below(4)) : this.head;
    const published = this.#history.slice(0, applied).findLastIndex((commit) => commit.change !== null) + 1;
    const { epoch } = this;
    switch (command.type) {
      case 'probe': {
        if (fails) return { ...command, type: 'probeFailed' };
        const [head, newest] = [revision(this.head), revision(this.#published)];
        return { type: 'probed', probeId: command.probeId, epoch, head, published: newest };
      }
      case 'pull': {
        if (fails || command.after > applied) return { type: 'pullFailed', pullId: command.pullId };
        if (command.after < this.#oldest)
          return { type: 'compacted', pullId: command.pullId, epoch, oldest: revision(this.#oldest) };
        const last = Math.max(command.after, Math.min(published, command.after + 3));
        const commits = this.#history.slice(command.after, last);
        const changes = commits.flatMap(({ change }) => (change === null ? [] : [change]));
        const pulled = batch(command.after, last, changes, epoch);
        return { type: 'pulled', pullId: command.pullId, batch: pulled, published: revision(published) };
      }
      case 'resync': {
        if (fails) return { type: 'resyncFailed', resyncId: command.resyncId };
        const at = revision(applied);
        return { type: 'resynced', resyncId: command.resyncId, epoch, revision: at, namespaces: NAMESPACES };
      }
      case 'load': {
        const { loadId, after } = command;
        if (fails || command.minRevision > applied)
          return { type: 'loadFailed', loadId, code: 'NOT_CAUGHT_UP' };
        const behind = KEYS.filter((key) => key > after);
        const found = behind.flatMap((key) => this.valueAt(epoch, key, applied) ?? []);
        const count = 1 + this.#below(KEYS.length);
        return {
          type: 'loaded',
          loadId,
          epoch,
          revision: revision(applied),
          entries: found.slice(0, count),
          more: found.length > count,
        };
      }
      case 'fill': {
        const { fillId, key } = command;
        if (fails || command.minRevision > applied)
          return { type: 'fillFailed', fillId, code: 'NOT_CAUGHT_UP' };
        const value = this.valueAt(epoch, key, applied);
        return { type: 'filled', fillId, epoch, revision: revision(applied), entry: value };
      }
      default:
        return null;
    }
  }

  #check(command: CacheCommand & { readonly type: 'answer' | 'fallback' }): void {
    const read = this.reads.get(command.readId);
    assert(read !== undefined, 'answered once');
    this.reads.delete(command.readId);
    if (command.type === 'fallback') {
      this.seen.fallbacks += 1;
      return;
    }
    const { outcome } = command;
    if (outcome.type === 'strict' || outcome.type === 'notHeld' || outcome.type === 'denied')
      assert.fail('the namespace is cached, and whoever asks may read');
    if (outcome.type === 'refused') {
      this.seen.refused += 1;
      return;
    }
    const { epoch, revision: at, stalenessMs, level } = outcome;
    if (outcome.type === 'listed') {
      this.seen.lists += 1;
      const all = KEYS.flatMap((key) => this.valueAt(epoch, key, at) ?? []);
      assert.deepEqual([outcome.entries, outcome.truncated], [all, false], `a list is not that of ${at}`);
    } else {
      assert(read.key !== null, 'not a list');
      this.seen.hits += 1;
      if (outcome.filled) this.seen.filled += 1;
      const value = this.valueAt(epoch, read.key, at);
      assert.deepEqual(outcome.entry, value, `${read.key} is not the value at ${at}`);
    }
    if (epoch === read.epoch) assert(at >= read.floor, 'below the floor');
    assert(epoch > this.#highest.epoch || at >= this.#highest.revision, 'back in time');
    assert(epoch >= this.#highest.epoch, 'back in epochs');
    this.#highest = { epoch, revision: at };
    if (stalenessMs !== null) {
      for (const commit of this.#unseen(epoch, at))
        assert(commit.atMs >= this.#nowMs - stalenessMs, 'staleness understated');
    }
    if (level === 'linearizable') {
      this.seen.linearizable += 1;
      assert(epoch >= read.epoch && (epoch > read.epoch || at >= read.head), 'a linearizable read is stale');
    }
    if (read.level.type === 'bounded') {
      this.seen.bounded += 1;
      assert(stalenessMs !== null && stalenessMs <= read.level.boundMs, 'bound exceeded');
    }
  }

  #unseen(epoch: number, at: number): Commit[] {
    return [...(this.#histories[epoch - 1] ?? []).slice(at), ...this.#since(epoch)];
  }

  /** Commits made after an epoch ended. */
  #since(epoch: number): Commit[] {
    return this.#histories.slice(epoch).flatMap((commits, index) => {
      const inherited = this.#histories[epoch + index - 1] ?? [];
      return commits.filter((commit) => !inherited.includes(commit));
    });
  }
}

function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** A view under faults for so many steps, and then without until it has converged. */
export function run(seed: number, steps: number, peeks = false): World {
  const world = new World(seed);
  world.event({ type: 'start' });
  for (let step = 0; step < steps; step += 1) {
    if (world.chance(0.4)) world.write();
    if (world.chance(0.6)) world.randomRead();
    if (peeks && world.chance(0.5)) world.peek();
    if (peeks && world.chance(0.1)) world.lookAtPeeked();
    if (peeks && world.chance(0.2)) world.prove();
    if (world.chance(0.01)) world.compact();
    if (world.chance(0.004)) world.loseTail();
    if (world.chance(0.01)) world.suspend(2000);
    world.pass(world.chance(0.01) ? 3000 : 1 + Math.floor(world.chance(0.5) ? 3 : 25));
  }
  world.faulty = false;
  for (let step = 0; step < 200; step += 1) world.pass(50);
  return world;
}

/** Worlds with peeks and proofs by seed, the rules of both checked at every look. */
export function searchPeeks(): { readonly violation: string | null; readonly worlds: number } {
  for (let seed = FIRST_PEEK_SEED; seed < FIRST_PEEK_SEED + PEEK_WORLDS; seed += 1) {
    try {
      run(seed, 250, true).lookAtPeeked();
    } catch (error) {
      return { violation: `seed ${seed}: ${String(error)}`, worlds: seed - FIRST_PEEK_SEED + 1 };
    }
  }
  return { violation: null, worlds: PEEK_WORLDS };
}
