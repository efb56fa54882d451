import sortedBtree from 'sorted-btree';
import { compareKeys } from './names.js';

type OrderedMapClass = typeof sortedBtree.default;
// The library is CommonJS with an `exports.default`. Node hands over the whole exports object, a bundler or a test
// runner unwraps it: take the class in either case.
const OrderedMapImplementation: OrderedMapClass =
  'default' in sortedBtree ? sortedBtree.default : (sortedBtree as unknown as OrderedMapClass);

/** A map in the order of its keys. `clone()` is O(1): nodes are copied when either side writes. */
export type OrderedMap<K, V> = InstanceType<typeof sortedBtree.default<K, V>>;

/** A map from text, in the order of its UTF-8 bytes. */
export function orderedMap<V>(): OrderedMap<string, V> {
  return new OrderedMapImplementation<string, V>(undefined, compareKeys);
}

/** A map from numbers, the smallest first. */
export function numberedMap<V>(): OrderedMap<number, V> {
  return new OrderedMapImplementation<number, V>(undefined, (left, right) => left - right);
}
