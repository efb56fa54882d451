import { isWellFormed } from './bytes.js';
import { KEY_BYTES_MAX, NAMESPACE_PATTERN, READERS_MAX, READER_BYTES_MAX } from './types.js';

const READER_LENGTH_BYTES = 4;

/** True when the text can name a namespace. */
export function isNamespaceName(text: string): boolean {
  return NAMESPACE_PATTERN.test(text);
}

/** True when the text can be a key: 1 to 1,024 bytes of UTF-8, no NUL. */
export function isKey(text: string): boolean {
  if (text.length === 0 || text.length > KEY_BYTES_MAX) return false;
  if (text.includes('\0') || !isWellFormed(text)) return false;
  return text.length * 3 <= KEY_BYTES_MAX || Buffer.byteLength(text, 'utf8') <= KEY_BYTES_MAX;
}

/** True when these can be the readers of a namespace: at most 256 texts of 1 to 256 bytes, each once. */
export function areReaders(readers: readonly string[]): boolean {
  if (readers.length > READERS_MAX || new Set(readers).size < readers.length) return false;
  return readers.every(
    (reader) =>
      reader !== '' && isWellFormed(reader) && Buffer.byteLength(reader, 'utf8') <= READER_BYTES_MAX,
  );
}

/** What the readers of one namespace take in a message, in bytes. */
export function readersBytes(readers: readonly string[] | null): number {
  return (readers ?? []).reduce(
    (sum, reader) => sum + READER_LENGTH_BYTES + Buffer.byteLength(reader, 'utf8'),
    0,
  );
}

/**
 * Order of keys: that of their UTF-8 bytes, which is that of their code points. JavaScript's own `<` compares UTF-16
 * units and puts U+1F600 before U+FF5E; a client in another language would disagree about a list.
 */
export function compareKeys(left: string, right: string): number {
  const shared = Math.min(left.length, right.length);
  for (let index = 0; index < shared; index += 1) {
    const leftUnit = left.charCodeAt(index);
    const rightUnit = right.charCodeAt(index);
    if (leftUnit !== rightUnit) return codePointOrder(leftUnit) - codePointOrder(rightUnit);
  }
  return left.length - right.length;
}

// A surrogate stands for a code point above U+FFFF, so it sorts behind every unit that is a code point of its own.
function codePointOrder(unit: number): number {
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x1_0000 : unit;
}
