import type { Operation, Violation } from '../operation.js';
import type { Workload } from '../workload.js';
import { UniqueNames, groupedBy, violated } from './naming.js';

/** A list that has so many elements is left, and the next one is begun: the history holds each version of it. */
const ELEMENTS_MAX = 20;

/** Appends to one array by compare-and-set: each is there once, in the order of the acknowledgements, and nothing ever goes. */
export function list(run: string): Workload {
  const namespace = `chaos-list-${run}`;
  const names = new UniqueNames('list');
  let current = 0;
  return {
    name: 'list',
    clients: 3,
    async prepare(client) {
      await client.insist('a namespace', () => client.createNamespace(namespace, 'strict'));
    },
    async step(client, number) {
      const at = current;
      const read = await client.get(namespace, keyOf(at), 'strict');
      if (read.outcome !== 'done') return;
      const elements = elementsOf(read.value);
      if (elements.length >= ELEMENTS_MAX) {
        current = Math.max(current, at + 1);
        return;
      }
      await client.put(namespace, keyOf(at), [...elements, names.next(number)], { over: read.revision });
    },
    async finish(client) {
      for (let at = 0; at <= current; at += 1) {
        await client.attempt(() => client.get(namespace, keyOf(at), 'strict', { action: 'final get' }));
      }
    },
    judge: (history) =>
      [...groupedBy(history, ({ key }) => key)].flatMap(([key, operations]) =>
        key === '' ? [] : judgeList(key, operations),
      ),
  };
}

function judgeList(key: string, history: readonly Operation[]): readonly Violation[] {
  const final = history.findLast(({ action, outcome }) => action === 'final get' && outcome === 'done');
  if (final === undefined) return [violated('availability', `list ${key} could not be read in the end`, [])];
  const elements = elementsOf(final.value);
  const placeOf = new Map(elements.map((element, place) => [element, place]));
  const found: Violation[] = [];
  if (placeOf.size < elements.length)
    found.push(violated('exactly once', 'a list has an element twice', [final]));
  const appends = history.filter(({ action }) => action === 'compareAndSet');
  const appendOf = new Map(appends.map((append) => [elementsOf(append.written).at(-1) ?? '', append]));
  for (const element of elements) {
    const append = appendOf.get(element);
    if (append === undefined) found.push(violated('exactly once', `nobody appended ${element}`, [final]));
    else if (append.outcome === 'none')
      found.push(violated('exactly once', 'an append that was refused is there', [append, final]));
  }
  let last: { readonly append: Operation; readonly place: number } | null = null;
  const inOrder = appends
    .filter(({ outcome }) => outcome === 'done')
    .toSorted((one, other) => (one.revision ?? 0) - (other.revision ?? 0));
  for (const append of inOrder) {
    const place = placeOf.get(elementsOf(append.written).at(-1) ?? '');
    if (place === undefined) {
      found.push(violated('exactly once', 'an append was acknowledged and is lost', [append, final]));
      continue;
    }
    if (last !== null && last.place > place)
      found.push(violated('order', 'appends are not in the order of their revisions', [last.append, append]));
    last = { append, place };
  }
  for (const read of history) {
    if (read.outcome !== 'done' || read.action !== 'get') continue;
    const seen = elementsOf(read.value);
    if (seen.some((element, place) => elements[place] !== element))
      found.push(violated('order', 'a read saw what is no beginning of the list', [read, final]));
  }
  return found;
}

function elementsOf(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.map(String) : [];
}

function keyOf(at: number): string {
  return `list-${at}`;
}
