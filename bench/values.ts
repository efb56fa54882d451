/** What all peers write alike: the same keys, and the same values, which are JSON strings because Quorate keeps JSON. */

const LETTERS = 'x9QkZ7vB2mN4wT8rY1uP5sD3fG6hJ0aL';
const STAMP_DIGITS_MAX = 14;
/** A prime: going round the keys, no key gets the value that it has already. */
const POOL_SIZE = 61;
const REMEMBERED_KEYS_MAX = 100_000;

/** `k0000001` */
export function keyText(key: number): string {
  return `k${String(key).padStart(7, '0')}`;
}

/** A JSON string of `bytes` bytes that no compression shrinks much; it begins with the stamp, a number to know it by again. */
export function stampedValue(bytes: number, stamp: number): Buffer {
  const digits = Math.min(STAMP_DIGITS_MAX, bytes - 2);
  let text = String(stamp).padStart(digits, '0').slice(-digits);
  let state = (stamp * 2_654_435_761 + 12_345) >>> 0;
  while (text.length < bytes - 2) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    text += LETTERS[state >>> 27];
  }
  return Buffer.from(`"${text}"`, 'latin1');
}

/** The stamp of a value; NaN when it has none. */
export function stampOf(value: Uint8Array): number {
  return Number(Buffer.from(value.subarray(1, 1 + STAMP_DIGITS_MAX)).toString('latin1'));
}

/** Values made ahead, so that making them is no part of a measurement. */
export class Values {
  readonly pool: readonly Buffer[];

  /** `bytes`: how long each value is, 16 or more. */
  constructor(readonly bytes: number) {
    this.pool = Array.from({ length: POOL_SIZE }, (_, stamp) => stampedValue(bytes, stamp));
  }

  stamped(stamp: number): Buffer {
    return stampedValue(this.bytes, stamp);
  }

  /** Returns the value; throws unless it is as long as what was written. */
  checked<Value extends { readonly length: number }>(value: Value): Value {
    if (value.length < this.bytes) throw new Error(`short answer: ${value.length} bytes`);
    return value;
  }
}

/** Gives the items in turn, for ever. */
export function inTurn<Item>(items: readonly Item[]): () => Item {
  let next = 0;
  return () => {
    const item = items[next % items.length];
    next += 1;
    if (item === undefined) throw new Error('nothing to give in turn');
    return item;
  };
}

/** Remembers what was made for a key, up to as many keys as most measurements have. */
export function byKey<Item>(make: (key: number) => Item): (key: number) => Item {
  const made: Item[] = [];
  return (key) => {
    const known = made[key];
    if (known !== undefined) return known;
    const item = make(key);
    if (key < REMEMBERED_KEYS_MAX) made[key] = item;
    return item;
  };
}
