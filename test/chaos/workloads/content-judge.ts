import { textOf } from '../history.js';
import type { FaultSpan, Operation, Violation } from '../operation.js';
import { groupedBy, violated } from './naming.js';

/** After these a gateway's process is another one, whose cache may be older than what the last one showed. */
const ENDING_KINDS = new Set(['kill', 'stop', 'powerCut', 'memoryLimit']);

/**
 * What answers of caches prove to be broken. All times are of the one clock of the clients: the gateway decided upon its answer after the
 * request was sent, and a write was acknowledged before its answer came. So what is asked here is never more than was promised.
 */
export function judgeContent(
  history: readonly Operation[],
  faults: readonly FaultSpan[],
): readonly Violation[] {
  const writes = new Writes(history.filter(isWrite));
  const reads = history.filter(isAnsweredRead);
  const lives = new Lives(faults);
  const tokens = headsOfTokens(history);
  return [
    ...reads.flatMap((read) => [...brokenBy(read, writes, tokens, lives)]),
    ...judgeLives(reads, lives),
    ...judgeConvergence(history),
  ];
}

/** Does a look at a cache show what was proven before, or something newer? */
export function hasConverged(look: Operation, proven: Operation): boolean {
  if (look.outcome !== 'done') return false;
  const isSame = look.revision === proven.revision;
  return isSame || (look.revision ?? 0) > (proven.head ?? proven.revision ?? 0);
}

function isWrite({ action }: Operation): boolean {
  return action === 'put' || action === 'compareAndSet' || action === 'delete';
}

function isAnsweredRead({ outcome, value }: Operation): boolean {
  return outcome === 'done' && value !== undefined;
}

function* brokenBy(
  read: Operation,
  writes: Writes,
  tokens: ReadonlyMap<string, number>,
  lives: Lives,
): Generator<Violation> {
  const { key, value, revision, head, invokedMs, tokenSent } = read;
  if (value !== null) {
    const because = writes.whoWrote(read);
    if (because !== null) yield violated('never written', because, [read]);
  }
  const bound = boundOf(read);
  if (bound !== null) {
    const [promise, ms] = bound;
    const newest = writes.of(key).newestBefore(invokedMs - ms);
    if (newest !== null && !writes.shows(read, newest)) {
      const because = `a write was acknowledged more than ${ms} ms before the read was sent, and is not in it`;
      yield violated(promise, because, [newest, read]);
    }
    const newestOfAll = writes.all.newestBefore(invokedMs - ms);
    if (newestOfAll !== null && head !== null && head < (newestOfAll.revision ?? 0)) {
      const because = `revision ${newestOfAll.revision} was acknowledged more than ${ms} ms before the read was sent, and is not in its revision`;
      yield violated(promise, because, [newestOfAll, read]);
    }
  }
  const asked = /^bounded;ms=(\d+)$/.exec(read.action)?.[1];
  if (asked !== undefined && !isWithin(read, Number(asked)))
    yield violated('staleness bound', `asked for at most ${asked} ms, the answer claims no such thing`, [
      read,
    ]);
  if (read.action === 'session' && read.level !== 'session' && read.level !== 'linearizable')
    yield violated('read your writes', 'asked for a session, the answer claims less', [read]);
  const seen = tokenSent === null || read.action !== 'session' ? 0 : (tokens.get(tokenSent) ?? 0);
  if (head !== null && head < seen) {
    const because = `its token had seen revision ${seen}, the answer is of ${head}`;
    yield violated('read your writes', because, [read]);
  }
  const newestSeen = writes.of(key).newestWithin(seen);
  if (newestSeen !== null && !writes.shows(read, newestSeen))
    yield violated('read your writes', 'the token of the read had seen this write', [newestSeen, read]);
  if (head !== null && revision !== null && revision > head)
    yield violated('one revision', 'an entry is newer than the revision that the answer is of', [read]);
  const newestWithin = head === null ? null : writes.of(key).newestWithin(head);
  if (newestWithin !== null && !writes.shows(read, newestWithin))
    yield violated('one revision', 'the revision that the answer is of has this write', [newestWithin, read]);
  const own = writes.of(`${read.gateway} ${key}`).newestBefore(invokedMs);
  if (own !== null && !writes.shows(read, own) && lives.isOneLife(own, read))
    yield violated('own writes', 'the write went through the same gateway', [own, read]);
}

/** How old an answer may be, in milliseconds before the read was sent, and what promises it; null: nothing does. */
function boundOf({ level, stalenessMs }: Operation): readonly [string, number] | null {
  if (level === 'linearizable') return ['linearizability', 0];
  return stalenessMs === null ? null : ['staleness bound', stalenessMs];
}

function isWithin({ level, stalenessMs }: Operation, boundMs: number): boolean {
  return level === 'linearizable' || (stalenessMs !== null && stalenessMs <= boundMs);
}

/** The writes of one key, or of one key through one gateway, or all of them: those that were acknowledged, in two orders. */
class Acknowledged {
  readonly #writes: Operation[] = [];
  #byRevision: readonly Operation[] | null = null;
  /** By time; the newest of all up to there. */
  #newest: readonly { readonly atMs: number; readonly write: Operation }[] = [];

  add(write: Operation): void {
    this.#writes.push(write);
    this.#byRevision = null;
  }

  /** The newest that was acknowledged strictly before. */
  newestBefore(atMs: number): Operation | null {
    this.#order();
    return lastOf(this.#newest, (one) => one.atMs < atMs)?.write ?? null;
  }

  /** The newest at or below a revision. */
  newestWithin(revision: number): Operation | null {
    return lastOf(this.#order(), (write) => (write.revision ?? 0) <= revision) ?? null;
  }

  #order(): readonly Operation[] {
    if (this.#byRevision !== null) return this.#byRevision;
    let newest: Operation | null = null;
    this.#newest = this.#writes
      .toSorted((one, other) => (one.completedMs ?? 0) - (other.completedMs ?? 0))
      .map((write) => {
        if ((write.revision ?? 0) > (newest?.revision ?? 0)) newest = write;
        return { atMs: write.completedMs ?? Infinity, write: newest ?? write };
      });
    this.#byRevision = this.#writes.toSorted((one, other) => (one.revision ?? 0) - (other.revision ?? 0));
    return this.#byRevision;
  }
}

/** The last of those, sorted, for which it is true: it is true of all before it. */
function lastOf<Item>(items: readonly Item[], isTrue: (item: Item) => boolean): Item | undefined {
  let [low, high] = [0, items.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    const item = items[middle];
    if (item !== undefined && isTrue(item)) low = middle + 1;
    else high = middle;
  }
  return items[low - 1];
}

class Writes {
  readonly all = new Acknowledged();
  readonly #acknowledged = new Map<string, Acknowledged>();
  readonly #writerOf = new Map<string, Operation>();
  /** By key: acknowledged and possible deletions. */
  readonly #deletions = new Map<string, Operation[]>();

  constructor(writes: readonly Operation[]) {
    for (const write of writes) {
      const { key, gateway, outcome } = write;
      if (write.action === 'delete') {
        if (outcome !== 'none') this.#deletions.set(key, [...(this.#deletions.get(key) ?? []), write]);
      } else this.#writerOf.set(textOf(write.written), write);
      if (outcome !== 'done') continue;
      this.all.add(write);
      for (const name of [key, `${gateway} ${key}`]) {
        const acknowledged = this.#acknowledged.get(name) ?? new Acknowledged();
        this.#acknowledged.set(name, acknowledged);
        acknowledged.add(write);
      }
    }
  }

  /** Of a key, or of a key through a gateway: `1 key`. */
  of(name: string): Acknowledged {
    return this.#acknowledged.get(name) ?? NONE;
  }

  /** Is the write, or a newer one, in what was read? Nothing there: some deletion must explain it. */
  shows(read: Operation, write: Operation): boolean {
    const needed = write.revision ?? 0;
    if (read.revision !== null) return read.revision >= needed;
    if (write.action === 'delete') return true;
    const isExplained = (deletion: Operation): boolean =>
      deletion.outcome === 'unknown'
        ? deletion.invokedMs <= (read.completedMs ?? Infinity)
        : (deletion.revision ?? 0) > needed && (deletion.revision ?? 0) <= (read.head ?? Infinity);
    return (this.#deletions.get(read.key) ?? []).some(isExplained);
  }

  /** Null: somebody did, and may be seen. */
  whoWrote(read: Operation): string | null {
    const writer = this.#writerOf.get(textOf(read.value));
    if (writer === undefined || writer.key !== read.key) return 'nobody wrote this value to the key';
    if (writer.outcome === 'none') return `its writer was told that nothing happened (#${writer.id})`;
    if (writer.invokedMs > (read.completedMs ?? Infinity)) return `it was written later (#${writer.id})`;
    if (writer.outcome === 'done' && writer.revision !== read.revision)
      return `it was acknowledged at revision ${writer.revision} (#${writer.id})`;
    return null;
  }
}

const NONE = new Acknowledged();

/** What a token has surely seen: the revision of whatever answer carried it. */
function headsOfTokens(history: readonly Operation[]): ReadonlyMap<string, number> {
  const heads = new Map<string, number>();
  for (const { token, outcome, head, revision } of history) {
    if (token === null || outcome !== 'done') continue;
    heads.set(token, Math.max(heads.get(token) ?? 0, head ?? 0, revision ?? 0));
  }
  return heads;
}

/** When gateways were other processes. */
class Lives {
  readonly #endings: ReadonlyMap<string, readonly FaultSpan[]>;

  constructor(faults: readonly FaultSpan[]) {
    const endings = faults
      .filter(({ kind }) => ENDING_KINDS.has(kind))
      .flatMap((span) => span.parts.map((part) => ({ part, span })));
    const byPart = [...groupedBy(endings, ({ part }) => part)];
    this.#endings = new Map(byPart.map(([part, group]) => [part, group.map(({ span }) => span)]));
  }

  /** Was the gateway surely the same process from the beginning of the one to the end of the other? */
  isOneLife(first: Operation, second: Operation): boolean {
    const endings = this.#endings.get(`gateway${second.gateway}`) ?? [];
    return !endings.some(
      ({ fromMs, toMs }) => fromMs <= (second.completedMs ?? Infinity) && toMs >= first.invokedMs,
    );
  }
}

/** In one life of a gateway its cache goes forward only: a read that begins after another one ended is of no older revision. */
function judgeLives(reads: readonly Operation[], lives: Lives): readonly Violation[] {
  const ofCaches = reads.filter(
    ({ tier, level, head }) => tier === 'content' && level !== 'linearizable' && head !== null,
  );
  return [...groupedBy(ofCaches, ({ gateway }) => String(gateway)).values()].flatMap((group) => {
    const found: Violation[] = [];
    const byCompletion = group.toSorted((one, other) => (one.completedMs ?? 0) - (other.completedMs ?? 0));
    let next = 0;
    let newest: Operation | null = null;
    for (const read of group.toSorted((one, other) => one.invokedMs - other.invokedMs)) {
      for (let before = byCompletion[next]; before !== undefined; before = byCompletion[next]) {
        if ((before.completedMs ?? Infinity) >= read.invokedMs) break;
        // What a process showed that is gone holds nobody any more.
        const isNewer = newest === null || (before.head ?? 0) >= (newest.head ?? 0);
        if (isNewer || !lives.isOneLife(newest ?? before, before)) newest = before;
        next += 1;
      }
      if (newest === null || (read.head ?? 0) >= (newest.head ?? 0)) continue;
      if (lives.isOneLife(newest, read))
        found.push(
          violated('monotonic reads', 'a cache went back within one life of its gateway', [newest, read]),
        );
    }
    return found;
  });
}

/** When all was healed, each cache came to show what the store held. */
function judgeConvergence(history: readonly Operation[]): readonly Violation[] {
  const looks = groupedBy(
    history.filter(({ action }) => action === 'final look'),
    ({ gateway, key }) => `${gateway} ${key}`,
  );
  const proven = new Map(
    history
      .filter(({ action, outcome }) => action === 'final get' && outcome === 'done')
      .map((read) => [read.key, read]),
  );
  if (proven.size === 0) return [violated('availability', 'the content could not be read in the end', [])];
  const deletions = new Set(
    history
      .filter(({ action, outcome }) => action === 'delete' && outcome === 'unknown')
      .map(({ key }) => key),
  );
  return [...looks.values()].flatMap((group) => {
    const look = group.at(-1);
    const read = look === undefined ? undefined : proven.get(look.key);
    if (look === undefined || read === undefined || hasConverged(look, read)) return [];
    // A deletion that nobody knows of may have come in between.
    if (look.outcome === 'done' && look.value === null && deletions.has(look.key)) return [];
    return [violated('convergence', 'a cache did not come to show what the store holds', [read, look])];
  });
}
