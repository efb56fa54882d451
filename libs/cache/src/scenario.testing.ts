import { revision } from '@quorate/kv';
import type { Change, ChangeBatch, Entry, NamespaceRecord } from '@quorate/kv';
import { CachedView } from './cached-view.js';
import type {
  CacheCommand,
  CachedViewOptions,
  CacheEvent,
  CacheOutcome,
  CacheReadLevel,
  Instant,
} from './types.js';

export const EVENTUAL: CacheReadLevel = { type: 'eventual' };
export const LINEARIZABLE: CacheReadLevel = { type: 'linearizable' };

export function entry(key: string, at: number, text = `${key}@${at}`): Entry {
  return {
    namespace: 'pages',
    key,
    value: new TextEncoder().encode(text),
    revision: revision(at),
    version: 1,
    createRevision: revision(at),
  };
}
export function put(key: string, at: number): Change {
  return { type: 'put', entry: entry(key, at) };
}
export function remove(key: string, at: number): Change {
  return { type: 'delete', namespace: 'pages', key, revision: revision(at) };
}
export function namespace(name: string, kind: 'strict' | 'cached', at = 1, deleted = false): NamespaceRecord {
  const createRevision = revision(deleted ? 1 : at);
  return { name, kind, deleted, revision: revision(at), createRevision, readers: null };
}
export function batch(previous: number, last: number, changes: readonly Change[], epoch = 1): ChangeBatch {
  return { epoch, previous: revision(previous), revision: revision(last), changes };
}

export const NAMESPACES = [namespace('pages', 'cached'), namespace('limits', 'strict')];

/** A view, a clock that the test moves, and a mailbox of commands. */
export class Scenario {
  readonly view: CachedView;
  now: Instant = { monotonicMs: 1000, wallMs: 5_000_000 };
  readonly commands: CacheCommand[] = [];
  readonly answers = new Map<number, CacheOutcome | 'fallback'>();
  #readId = 0;

  constructor(options: Partial<CachedViewOptions> = {}) {
    // By demand only, unless the test is about namespaces held whole.
    this.view = new CachedView({ random: () => 0.5, wholeNamespaceBytesMax: 0, ...options });
  }

  event(event: CacheEvent): readonly CacheCommand[] {
    const commands = this.view.handle(event, this.now);
    for (const command of commands) {
      if (command.type === 'answer' || command.type === 'fallback') {
        if (this.answers.has(command.readId)) throw new Error(`read ${command.readId} answered twice`);
        this.answers.set(command.readId, command.type === 'answer' ? command.outcome : 'fallback');
      } else this.commands.push(command);
    }
    return commands;
  }

  pass(ms: number, wallMs = ms): void {
    this.now = { monotonicMs: this.now.monotonicMs + ms, wallMs: this.now.wallMs + wallMs };
    this.event({ type: 'tick' });
  }

  read(key: string, level = EVENTUAL, minRevision: number | null = null, name = 'pages'): number {
    this.#readId += 1;
    const readId = this.#readId;
    const min = minRevision === null ? null : revision(minRevision);
    this.event({ type: 'read', readId, namespace: name, key, level, minRevision: min, token: null });
    return readId;
  }

  /** The text shown, null for an absence, or what else became of the read; undefined: it waits. */
  shown(readId: number): string | null | undefined {
    const outcome = this.answers.get(readId);
    if (outcome === undefined || outcome === 'fallback') return outcome;
    if (outcome.type === 'refused') return outcome.code;
    if (outcome.type !== 'hit') return outcome.type;
    return outcome.entry === null ? null : new TextDecoder().decode(outcome.entry.value);
  }

  hit(readId: number): CacheOutcome & { readonly type: 'hit' } {
    const outcome = this.answers.get(readId);
    if (outcome === undefined || outcome === 'fallback' || outcome.type !== 'hit')
      throw new Error('not a hit');
    return outcome;
  }

  /** Takes the oldest open command of a type out of the mailbox. */
  take<Type extends CacheCommand['type']>(type: Type): CacheCommand & { readonly type: Type } {
    const command = this.tryTake(type);
    if (command === null) throw new Error(`no ${type} was asked for`);
    return command;
  }

  tryTake<Type extends CacheCommand['type']>(type: Type): (CacheCommand & { readonly type: Type }) | null {
    const index = this.commands.findIndex((command) => command.type === type);
    const [command] = index < 0 ? [] : this.commands.splice(index, 1);
    return command !== undefined && isType(command, type) ? command : null;
  }

  sync(at: number, epoch = 1, namespaces = NAMESPACES): void {
    const { resyncId } = this.take('resync');
    this.event({ type: 'resynced', resyncId, epoch, revision: revision(at), namespaces });
  }
  feed(previous: number, last: number, changes: readonly Change[], epoch = 1): void {
    this.event({ type: 'feedBatch', batch: batch(previous, last, changes, epoch) });
  }
  probed(head: number, published = head, epoch = 1): void {
    const { probeId } = this.take('probe');
    this.event({ type: 'probed', probeId, epoch, head: revision(head), published: revision(published) });
  }
  filled(at: number, value: Entry | null, epoch = 1): void {
    const { fillId } = this.take('fill');
    this.event({ type: 'filled', fillId, epoch, revision: revision(at), entry: value });
  }
  loaded(at: number, entries: readonly Entry[], more = false, epoch = 1): void {
    const { loadId } = this.take('load');
    this.event({ type: 'loaded', loadId, epoch, revision: revision(at), entries, more });
  }
  list(prefix = '', level = EVENTUAL, limit = 100, name = 'pages'): number {
    this.#readId += 1;
    const readId = this.#readId;
    this.event({
      type: 'list',
      readId,
      namespace: name,
      prefix,
      limit,
      level,
      minRevision: null,
      token: null,
    });
    return readId;
  }
  /** The keys shown; what else became of the list; undefined: it waits. */
  listed(readId: number): readonly string[] | string | undefined {
    const outcome = this.answers.get(readId);
    if (outcome === undefined || outcome === 'fallback') return outcome;
    if (outcome.type === 'listed') return outcome.entries.map(({ key }) => key);
    return outcome.type === 'refused' ? outcome.code : outcome.type;
  }
  pulled(previous: number, last: number, changes: readonly Change[], published = last): void {
    const { pullId } = this.take('pull');
    const newest = revision(published);
    this.event({ type: 'pulled', pullId, batch: batch(previous, last, changes), published: newest });
  }
}

function isType<Type extends CacheCommand['type']>(
  command: CacheCommand,
  type: Type,
): command is CacheCommand & { readonly type: Type } {
  return command.type === type;
}

/** Started and synced at a revision, its first probe confirmed. */
export function synced(at = 10, options: Partial<CachedViewOptions> = {}): Scenario {
  const scenario = new Scenario(options);
  scenario.event({ type: 'start' });
  scenario.sync(at);
  scenario.probed(at);
  return scenario;
}

/** Holds `key` with the value of `at`. */
export function holding(key: string, at: number, options: Partial<CachedViewOptions> = {}): Scenario {
  const scenario = synced(at, options);
  scenario.read(key);
  scenario.filled(at, entry(key, at));
  return scenario;
}
