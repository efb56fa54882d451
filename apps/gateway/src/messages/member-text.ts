import { QuorateError } from '@quorate/api';

/** Arrays and objects within each other. Whoever reads a value with a recursive parser must be able to. */
export const NESTING_MAX = 10_000;

const WHITESPACE = ' \t\n\r';

/**
 * The text of a member of a JSON object, exactly as it was written: what JSON.parse makes of a number, or of names that
 * stand twice, need not be what was sent. Of several members of the name the last counts, as for JSON.parse. Null: no
 * such member, or no object. `json` is a JSON text that JSON.parse accepts. Throws INVALID_JSON above NESTING_MAX.
 */
export function memberText(json: string, name: string): string | null {
  let at = afterWhitespace(json, 0);
  if (json[at] !== '{') {
    return null;
  }
  at = afterWhitespace(json, at + 1);
  let found: string | null = null;
  while (json[at] === '"') {
    const nameEnd = afterString(json, at);
    const isWanted = JSON.parse(json.slice(at, nameEnd)) === name;
    const start = afterWhitespace(json, afterWhitespace(json, nameEnd) + 1);
    const end = afterValue(json, start);
    if (isWanted) {
      found = json.slice(start, end);
    }
    // Over the comma, or over the brace at the end, behind which no name begins.
    at = afterWhitespace(json, afterWhitespace(json, end) + 1);
  }
  return found;
}

function afterWhitespace(json: string, from: number): number {
  let at = from;
  while (at < json.length && WHITESPACE.includes(json.charAt(at))) {
    at += 1;
  }
  return at;
}

/** `from` is at the opening quotation mark. */
function afterString(json: string, from: number): number {
  let at = from + 1;
  while (at < json.length && json[at] !== '"') {
    at += json[at] === '\\' ? 2 : 1;
  }
  return at + 1;
}

/** Without recursion: how deep a value is must not decide over the stack. */
function afterValue(json: string, from: number): number {
  let at = from;
  let depth = 0;
  do {
    const character = json[at];
    if (character === '"') {
      at = afterString(json, at);
    } else if (character === '{' || character === '[') {
      depth += 1;
      at += 1;
      if (depth > NESTING_MAX) {
        throw new QuorateError('INVALID_JSON', `The value is nested deeper than ${NESTING_MAX} levels.`);
      }
    } else if (character === '}' || character === ']') {
      depth -= 1;
      at += 1;
    } else {
      at = depth === 0 ? afterScalar(json, at) : at + 1;
    }
  } while (depth > 0 && at < json.length);
  return at;
}

function afterScalar(json: string, from: number): number {
  let at = from;
  while (at < json.length && !',]}'.includes(json.charAt(at)) && !WHITESPACE.includes(json.charAt(at))) {
    at += 1;
  }
  return at;
}
