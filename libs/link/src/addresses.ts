import { lookup } from 'node:dns';
import { isIP } from 'node:net';

/** Look-ups under way in this process. libuv runs them on threads that the file system needs too. */
const LOOKUPS_MAX = 2;
let lookupsUnderWay = 0;

/**
 * The addresses of one host name, looked up once and again only after a failed dial, at most every `intervalMs`. The name
 * of a stopped container can hang in the resolver for seconds; dialling goes on with the known addresses meanwhile.
 */
export class AddressBook {
  readonly #host: string;
  readonly #intervalMs: number;
  #addresses: readonly string[];
  #next = 0;
  #underWay = false;
  #lookedUpAtMs = Number.NEGATIVE_INFINITY;

  constructor(host: string, intervalMs: number) {
    this.#host = host;
    this.#intervalMs = intervalMs;
    this.#addresses = isIP(host) === 0 ? [] : [host];
  }

  /** The address to dial now, or null when none is known yet. */
  get current(): string | null {
    return this.#addresses[this.#next % Math.max(1, this.#addresses.length)] ?? null;
  }

  /** After a failed dial: takes the next address and, when it is time, asks the resolver in the background. */
  failed(): void {
    this.#next += 1;
    this.refresh(() => undefined);
  }

  /** Looks the name up unless that is not due; `done` is called in any case, later. */
  refresh(done: () => void): void {
    const nowMs = performance.now();
    // With nothing known there is nothing to lose by asking again at the dialler's own pace.
    const due = this.#addresses.length === 0 || nowMs - this.#lookedUpAtMs >= this.#intervalMs;
    if (isIP(this.#host) !== 0 || this.#underWay || !due || lookupsUnderWay >= LOOKUPS_MAX) {
      setImmediate(done);
      return;
    }
    this.#underWay = true;
    this.#lookedUpAtMs = nowMs;
    lookupsUnderWay += 1;
    lookup(this.#host, { all: true }, (error, found) => {
      this.#underWay = false;
      lookupsUnderWay -= 1;
      // A failed look-up proves nothing about the addresses that worked before.
      if (error === null && found.length > 0) {
        this.#addresses = found.map(({ address }) => address);
        this.#next = 0;
      }
      done();
    });
  }
}
