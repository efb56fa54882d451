import type { ListedEntry } from '../client.js';
import { textOf } from '../history.js';
import type { Operation, Violation } from '../operation.js';
import type { Workload } from '../workload.js';
import { UniqueNames, groupedBy, violated } from './naming.js';

const CLIENTS = 4;
/** So many elements share a prefix, so that one list has them all. */
const BLOCK = 200;
const READ_SHARE = 0.15;

/** Elements, each a key of its own, put under an Idempotency-Key that is sent again while nobody knows: each is there once or not at all. */
export function set(run: string): Workload {
  const namespace = `chaos-set-${run}`;
  const names = new UniqueNames('set');
  const added = Array.from({ length: CLIENTS }, () => 0);
  return {
    name: 'set',
    clients: CLIENTS,
    async prepare(client) {
      await client.insist('a namespace', () => client.createNamespace(namespace, 'strict'));
    },
    async step(client, number) {
      const count = added[number] ?? 0;
      if (count > 0 && client.random() < READ_SHARE) {
        await client.get(namespace, keyOf(number, Math.floor(client.random() * count)), 'strict');
        return;
      }
      added[number] = count + 1;
      const name = names.next(number);
      await client.put(namespace, keyOf(number, count), name, { idempotencyKey: name });
    },
    async finish(client) {
      for (const [number, count] of added.entries()) {
        for (let block = 0; block * BLOCK < count; block += 1) {
          await client.attempt(() => client.list(namespace, prefixOf(number, block)));
        }
      }
    },
    judge: judgeSet,
  };
}

function judgeSet(history: readonly Operation[]): readonly Violation[] {
  const found: Violation[] = [];
  const lists = groupedBy(
    history.filter(({ action, outcome }) => action === 'list' && outcome === 'done'),
    ({ key }) => key,
  );
  const puts = history.filter(({ action }) => action === 'put');
  const putOf = new Map(puts.map((put) => [put.key, put]));
  const present = new Map<string, { readonly entry: ListedEntry; readonly list: Operation }>();
  for (const list of [...lists.values()].map((group) => group.at(-1))) {
    for (const entry of entriesOf(list)) {
      if (list !== undefined) present.set(entry.key, { entry, list });
      if (!putOf.has(entry.key))
        found.push(violated('exactly once', `nobody put element ${entry.key}`, [list]));
    }
  }
  const unread = new Set<string>();
  for (const put of puts) {
    const prefix = put.key.slice(0, put.key.lastIndexOf('/') + 1);
    const list = lists.get(prefix)?.at(-1);
    if (list === undefined || !Array.isArray(list.value)) {
      unread.add(prefix);
      continue;
    }
    const there = present.get(put.key);
    const because = judgeElement(put, there?.entry ?? null);
    if (because !== null) found.push(violated('exactly once', because, [put, list]));
  }
  for (const prefix of unread)
    found.push(violated('availability', `the elements below ${prefix} could not be listed in the end`, []));
  return found;
}

/** Null: all is well. */
function judgeElement(put: Operation, entry: ListedEntry | null): string | null {
  if (entry === null) return put.outcome === 'done' ? 'an element was acknowledged and is lost' : null;
  if (put.outcome === 'none') return 'an element is there whose writer was told that nothing happened';
  if (textOf(entry.value) !== textOf(put.written)) return 'an element has another value than it was given';
  if (entry.version !== 1) return `an element was put once and is there in version ${entry.version}`;
  if (put.outcome === 'done' && put.revision !== entry.revision)
    return `an element was acknowledged at another revision than ${entry.revision}, at which it is there`;
  return null;
}

function entriesOf(list: Operation | undefined): readonly ListedEntry[] {
  return Array.isArray(list?.value) ? (list.value as readonly ListedEntry[]) : [];
}

function keyOf(client: number, element: number): string {
  return `${prefixOf(client, Math.floor(element / BLOCK))}${element}`;
}

function prefixOf(client: number, block: number): string {
  return `${client}/${block}/`;
}
