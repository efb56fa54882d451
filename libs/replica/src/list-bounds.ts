import { LIST_BYTES_MAX, listBytesOf, type Entry } from '@quorate/kv';

/** How many of the entries, from the first on, fit into one answer: at least one, if there is any. */
export function countOfOneAnswer(entries: readonly Entry[]): number {
  let bytes = 0;
  const over = entries.findIndex((entry, at) => (bytes += listBytesOf(entry)) > LIST_BYTES_MAX && at > 0);
  return over === -1 ? entries.length : over;
}
