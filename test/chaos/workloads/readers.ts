import type { ChaosClient } from '../client.js';
import { textOf } from '../history.js';
import type { Operation, Violation } from '../operation.js';
import type { Workload } from '../workload.js';
import { UniqueNames, groupedBy, violated } from './naming.js';

const CLIENTS = 2;
const PAGE = 'page';
/** Of a revocation that is asked for again: more would hold up the round for nothing. */
const TRIES_MAX = 6;
const READ_AS = 'read as ';
const SET_READERS = 'set readers';
/** The next acknowledged change of the readers is looked for among so many. */
const LATER_MAX = 50;
/** What is said of a token that is gone: as sure as an acknowledgement. */
const GONE = 'ENTRY_NOT_FOUND';

/**
 * Readers of a cached namespace, each for one round: a token is made, named as a reader, revoked in one way or the other, and then something is
 * written. Whoever was revoked is never shown it, by whatever gateway, however long that is cut off.
 */
export function readers(run: string): Workload {
  const names = new UniqueNames('readers');
  const namespaceOf = (number: number): string => `chaos-readers-${run}-${number}`;
  /** Rounds by client: each has a principal of its own, which is never let in again. */
  const write = (client: ChaosClient, number: number): Promise<Operation> =>
    client.put(namespaceOf(number), PAGE, names.next(number));

  const read = async (
    client: ChaosClient,
    number: number,
    principal: string,
    bearer: string,
  ): Promise<void> => {
    for (const gateway of client.gateways) {
      const choice = { gateway, bearer, action: `${READ_AS}${principal}` };
      await client.get(namespaceOf(number), PAGE, 'content', choice);
    }
    const choice = { bearer, action: `${READ_AS}${principal}`, level: { level: 'linearizable' } } as const;
    await client.get(namespaceOf(number), PAGE, 'strict', choice);
  };

  const revoke = async (
    client: ChaosClient,
    number: number,
    principal: string,
    id: string,
  ): Promise<boolean> => {
    if (client.random() < 0.5) {
      const choice = { idempotencyKey: names.next(number) };
      return (await client.setReaders(namespaceOf(number), ['nobody'], choice)).outcome === 'done';
    }
    for (let left = TRIES_MAX; left > 0; left -= 1) {
      const operation = await client.deleteToken(principal, id);
      if (operation.outcome === 'done' || operation.code === GONE) return true;
    }
    return false;
  };

  return {
    name: 'readers',
    clients: CLIENTS,
    async prepare(client) {
      for (let number = 0; number < CLIENTS; number += 1) {
        const namespace = namespaceOf(number);
        await client.insist('a namespace', () => client.createNamespace(namespace, 'cached'));
        await client.insist('an entry', () => write(client, number));
      }
    },
    async step(client, number) {
      const principal = names.next(number);
      const { token } = await client.makeToken(principal, ['entries:read']);
      if (token === null) return;
      const named = await client.setReaders(namespaceOf(number), [principal], {
        idempotencyKey: names.next(number),
      });
      if (named.outcome === 'done') {
        await read(client, number, principal, token.text);
        if (await revoke(client, number, principal, token.id)) {
          await write(client, number);
          await read(client, number, principal, token.text);
        }
      }
      // There may be 10,000 of them.
      await client.deleteToken(principal, token.id);
    },
    async finish(client) {
      for (let number = 0; number < CLIENTS; number += 1) {
        const choice = { action: 'final get', level: { level: 'linearizable' } } as const;
        await client.attempt(() => client.get(namespaceOf(number), PAGE, 'strict', choice));
      }
    },
    judge: judgeReaders,
  };
}

/** Of whom an operation is; empty: of nobody in particular. */
function principalOf({ action, key, written, namespace }: Operation): string {
  if (action.startsWith(READ_AS)) return action.slice(READ_AS.length);
  if (namespace === 'tokens') return key;
  const [named] = action === SET_READERS && Array.isArray(written) ? written.map(String) : [];
  return named === undefined || named === 'nobody' ? '' : named;
}

function judgeReaders(history: readonly Operation[]): readonly Violation[] {
  const settings = new Map(
    [
      ...groupedBy(
        history.filter(({ action, outcome }) => action === SET_READERS && outcome !== 'none'),
        ({ namespace }) => namespace,
      ),
    ].map(([namespace, group]) => [namespace, new Settings(group)]),
  );
  const writerOf = new Map(
    history.filter(({ action }) => action === 'put').map((put) => [textOf(put.written), put]),
  );
  const found: Violation[] = [];
  for (const [principal, operations] of groupedBy(history, principalOf)) {
    if (principal === '') continue;
    const named = operations.find(({ action }) => action === SET_READERS);
    const ofNamespace = settings.get(named?.namespace ?? '') ?? NEVER_SET;
    const reader = new Reader(operations, named, ofNamespace, writerOf);
    for (const operation of operations) {
      if (!operation.action.startsWith(READ_AS)) continue;
      for (const [because, revocation] of reader.brokenBy(operation))
        found.push(violated('revoked reader', `${principal}: ${because}`, [revocation, operation]));
      if (reader.isWronglyRefused(operation))
        found.push(violated('known reader', `${principal} may read, and was refused`, [named, operation]));
    }
  }
  return found;
}

/** All that may have set the readers of one namespace, in the order in which it was asked for. */
class Settings {
  readonly firstUnknownId: number;
  readonly #placeOf: ReadonlyMap<number, number>;

  constructor(private readonly settings: readonly Operation[]) {
    this.firstUnknownId = settings.find(({ outcome }) => outcome === 'unknown')?.id ?? Infinity;
    this.#placeOf = new Map(settings.map(({ id }, place) => [id, place]));
  }

  /** The next ones. */
  after({ id }: Operation): readonly Operation[] {
    const place = this.#placeOf.get(id) ?? this.settings.length;
    return this.settings.slice(place + 1, place + 1 + LATER_MAX);
  }
}

const NEVER_SET = new Settings([]);

/** What is known of one reader. A naming whose outcome is unknown may still come, after any revocation: then only the end of his token counts. */
class Reader {
  /** Acknowledged: from then on he is shown nothing more. */
  readonly #revocations: readonly Operation[];
  /** The first thing that was asked for and may end his right. */
  readonly #endsMs: number;
  readonly #isNamed: boolean;

  constructor(
    operations: readonly Operation[],
    private readonly named: Operation | undefined,
    settings: Settings,
    private readonly writerOf: ReadonlyMap<string, Operation>,
  ) {
    const deletions = operations.filter(({ action }) => action === 'delete token');
    const deleted = deletions.find(({ outcome, code }) => outcome === 'done' || code === GONE);
    const isNamed = named?.outcome === 'done';
    const later = isNamed ? settings.after(named) : [];
    const replaced = later.find(({ outcome }) => outcome === 'done');
    this.#revocations = [deleted, replaced].filter((revocation) => revocation !== undefined);
    this.#endsMs = [...deletions, ...later].reduce(
      (first, { invokedMs }) => Math.min(first, invokedMs),
      Infinity,
    );
    // Who was named before, and nobody knows whether, may be named later in his place.
    this.#isNamed = isNamed && settings.firstUnknownId > named.id;
  }

  *brokenBy(read: Operation): Generator<readonly [string, Operation]> {
    if (read.outcome !== 'done') return;
    const writer = this.writerOf.get(textOf(read.value));
    for (const revocation of this.#revocations) {
      const { revision } = revocation;
      const revokedMs = revocation.completedMs ?? Infinity;
      if (writer !== undefined && writer.invokedMs > revokedMs)
        yield ['he was shown what was written after his revocation was acknowledged', revocation];
      else if (read.level === 'linearizable' && read.invokedMs > revokedMs)
        yield [
          'a linearizable read began after his revocation was acknowledged, and was answered',
          revocation,
        ];
      else if (revision !== null && read.head !== null && read.head >= revision)
        yield [`he was shown revision ${read.head}, and he was revoked at ${revision}`, revocation];
    }
  }

  isWronglyRefused({ tier, outcome, code, invokedMs, completedMs }: Operation): boolean {
    const isRefused = outcome === 'none' && (code === 'UNAUTHENTICATED' || code === 'FORBIDDEN');
    if (!isRefused || tier !== 'strict' || !this.#isNamed) return false;
    return invokedMs > (this.named?.completedMs ?? Infinity) && (completedMs ?? Infinity) < this.#endsMs;
  }
}
