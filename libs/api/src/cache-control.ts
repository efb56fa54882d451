import { QuorateError } from './errors.js';
import { BOUNDED_MS_MAX, HEADERS, type ReadLevel } from './headers.js';

/** What a `Cache-Control` request header asks of a read (RFC 9111 section 5.2.1, RFC 5861). Null: not asked. */
export interface CacheDirectives {
  readonly maxAgeSeconds: number | null;
  readonly minFreshSeconds: number | null;
  readonly staleIfErrorSeconds: number | null;
  readonly noCache: boolean;
  readonly onlyIfCached: boolean;
}

/** Nothing is asked: there is no such header. */
export const NO_DIRECTIVES: CacheDirectives = {
  maxAgeSeconds: null,
  minFreshSeconds: null,
  staleIfErrorSeconds: null,
  noCache: false,
  onlyIfCached: false,
};

const HEADER_LENGTH_MAX = 1024;
/** RFC 9111 section 1.2.2: larger numbers of seconds count as this one. */
const SECONDS_MAX = 2 ** 31;

/** One element of the list: a directive, perhaps with an argument, or nothing at all, which the list rule of HTTP allows. */
const ELEMENT =
  /[ \t]*(?:([!#$%&'*+\-.^_`|~0-9A-Za-z]+)(?:=(?:([!#$%&'*+\-.^_`|~0-9A-Za-z]+)|"((?:[\t\x20\x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*)"))?)?[ \t]*(,|$)/y;

/**
 * Reads a `Cache-Control` request header. What we do not know is ignored, as the RFC demands; that includes `max-stale`
 * (an eventual read takes any age already, and nothing else may be weakened by it), `no-store` and `no-transform`. Of a
 * directive that comes twice the stricter holds. INVALID_REQUEST: a header that is no list of directives, or a directive
 * of ours whose argument is missing, needless or no number of seconds.
 */
export function parseCacheControl(header: string | undefined | null): CacheDirectives {
  if (header === undefined || header === null) return NO_DIRECTIVES;
  const asked = { ...NO_DIRECTIVES };
  for (const { name, argument } of directivesOf(header)) {
    switch (name) {
      case 'max-age':
        asked.maxAgeSeconds = Math.min(asked.maxAgeSeconds ?? SECONDS_MAX, secondsOf(name, argument));
        break;
      case 'min-fresh':
        asked.minFreshSeconds = Math.max(asked.minFreshSeconds ?? 0, secondsOf(name, argument));
        break;
      case 'stale-if-error':
        asked.staleIfErrorSeconds = Math.min(
          asked.staleIfErrorSeconds ?? SECONDS_MAX,
          secondsOf(name, argument),
        );
        break;
      case 'no-cache':
        refuseArgument(name, argument);
        asked.noCache = true;
        break;
      case 'only-if-cached':
        refuseArgument(name, argument);
        asked.onlyIfCached = true;
        break;
    }
  }
  return asked;
}

/**
 * The level that holds when both `Read-Consistency` and `Cache-Control` were looked at: never weaker than either. Null:
 * neither asks for anything.
 *
 * - `no-cache`: linearizable.
 * - `max-age=S`: bounded by S seconds; the tighter of two bounds holds. More than a day counts as a day.
 * - `min-fresh=S`: the answer must stay within its lifetime for S seconds more. Nothing held here has a lifetime of its
 *   own, as nothing says how long a value will stay; the only one is the bound that the caller names. So S is taken off
 *   that bound, and without one nothing that is held will do.
 * - A bound of nothing is linearizable, and so is a bound together with `session`: the weakest level that keeps both.
 */
export function strengthenedLevel(asked: ReadLevel | null, directives: CacheDirectives): ReadLevel | null {
  const { maxAgeSeconds, minFreshSeconds, noCache } = directives;
  if (noCache || asked?.level === 'linearizable') return { level: 'linearizable' };
  if (maxAgeSeconds === null && minFreshSeconds === null) return asked;
  const askedMs = asked?.level === 'bounded' ? asked.ms : Infinity;
  const lifetimeMs = Math.min(askedMs, maxAgeSeconds === null ? Infinity : maxAgeSeconds * 1000);
  const boundMs = (lifetimeMs === Infinity ? 0 : lifetimeMs) - (minFreshSeconds ?? 0) * 1000;
  if (boundMs < 1 || asked?.level === 'session') return { level: 'linearizable' };
  return { level: 'bounded', ms: Math.min(boundMs, BOUNDED_MS_MAX) };
}

interface Directive {
  /** In small letters: names are compared without regard to case. */
  readonly name: string;
  readonly argument: string | null;
}

function directivesOf(header: string): Directive[] {
  if (header.length > HEADER_LENGTH_MAX) throw malformed('the header is longer than 1,024 characters');
  const found: Directive[] = [];
  ELEMENT.lastIndex = 0;
  while (ELEMENT.lastIndex < header.length) {
    const match = ELEMENT.exec(header);
    if (match === null) throw malformed('it is no list of directives');
    const [, name, token, quoted] = match;
    if (name === undefined) continue;
    found.push({ name: name.toLowerCase(), argument: token ?? quoted?.replace(/\\(.)/g, '$1') ?? null });
  }
  return found;
}

/** RFC 9111 section 5.2: an argument may be written as a token or as quoted text. */
function secondsOf(name: string, argument: string | null): number {
  if (argument === null || !/^[0-9]+$/.test(argument)) throw malformed(`${name} takes a number of seconds`);
  return Math.min(Number(argument), SECONDS_MAX);
}

function refuseArgument(name: string, argument: string | null): void {
  if (argument !== null) throw malformed(`${name} takes no argument`);
}

function malformed(why: string): QuorateError {
  return new QuorateError('INVALID_REQUEST', `Cache-Control cannot be read: ${why}.`, {
    field: HEADERS.cacheControl,
  });
}
