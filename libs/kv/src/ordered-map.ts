import sortedBtree from 'sorted-btree';
import { compareKeys } from './names.js';

type OrderedMapClass = typeof sortedBtree.default;
// The library is CommonJS with an `exports.default`. Node hands over the whole exports object, a bundler or a test
// runner unwraps it: take the class in either case.
const OrderedMapImplementation: OrderedMapClass =
  'default' in sortedBtree ? sortedBtree.default : (sortedBtree as unknown as OrderedMapClass);

/** A map from keys in the order of their UTF-8 bytes. `clone()` is O(1): nodes are copied when either side writes. */
export type OrderedMap<V> = InstanceType<typeof sortedBtree.default<string, V>>;

export function orderedMap<V>(): OrderedMap<V> {
  return new OrderedMapImplementation<string, V>(undefined, compareKeys);
}
