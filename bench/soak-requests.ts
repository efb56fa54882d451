import { formatReadLevel, parseStaleness, type ReadLevel } from '@quorate/api';
import { type HttpAnswer, HttpPool, NotConnected, headerOf } from './wire/http.js';
import type { Address } from './wire/sockets.js';

/** Longer than a gateway's own deadlines. */
const TIMEOUT_MS = 5_000;

export interface WriteOutcome {
  readonly type: 'acknowledged' | 'none' | 'unknown';
  /** Of an acknowledgement: what the entry has now; else null. */
  readonly revision: number | null;
  /** The Consistency-Token of an acknowledgement; else null. */
  readonly token: string | null;
  /** Why it was not acknowledged. */
  readonly reason: string;
  /** No promise allows this answer: it is neither an acknowledgement nor one of unavailability. */
  readonly isWrong: boolean;
}

export type ReadOutcome =
  | {
      readonly type: 'value';
      /** 0: the entry does not exist. */
      readonly value: number;
      /** Of the entry; 0: it does not exist. */
      readonly revision: number;
      readonly isLinearizable: boolean;
      readonly stalenessMs: number | null;
      readonly ageSeconds: number | null;
      readonly quorum: boolean | null;
      readonly sentMs: number;
      readonly atMs: number;
    }
  | {
      readonly type: 'unavailable';
      readonly reason: string;
      /** As of a write. */
      readonly isWrong: boolean;
      readonly sentMs: number;
      readonly atMs: number;
    };

/** Too busy, no quorum or nobody reachable, no answer in time. */
const UNAVAILABLE: readonly number[] = [429, 503, 504];
const PRECONDITION_FAILED = 412;

/** Writes and reads numbers of one namespace at one gateway, as any REST client would. */
export class SoakRequests {
  readonly #pool: HttpPool;

  constructor(
    address: Address,
    adminToken: string,
    private readonly namespace: string,
  ) {
    this.#pool = new HttpPool(address, `Authorization: Bearer ${adminToken}\r\n`, TIMEOUT_MS);
  }

  async createNamespace(): Promise<void> {
    await this.#pool.request('PUT', `/v1/namespaces/${this.namespace}`, '{"kind":"cached"}');
  }

  /** `over`: the revision that the entry must still have; 0: it must not exist. */
  async write(key: string, value: number, over: number): Promise<WriteOutcome> {
    const condition = over === 0 ? 'If-None-Match: *\r\n' : `If-Match: "m${over}"\r\n`;
    let reply: HttpAnswer;
    try {
      reply = await this.#pool.exchange('PUT', this.#path(key), String(value), condition);
    } catch (error) {
      const isUnsent = error instanceof NotConnected;
      const reason = isUnsent ? 'no connection' : 'connection lost';
      return { type: isUnsent ? 'none' : 'unknown', token: null, revision: null, reason, isWrong: false };
    }
    if (reply.status === 200 || reply.status === 201) {
      const token = headerOf(reply.head, 'consistency-token');
      return { type: 'acknowledged', token, revision: revisionOf(reply.text), reason: '', isWrong: false };
    }
    const effect = /"effect":"(\w+)"/.exec(reply.text)?.[1];
    return {
      type: effect === 'none' ? 'none' : 'unknown',
      token: null,
      revision: null,
      reason: codeOf(reply.text, reply.status),
      isWrong: ![...UNAVAILABLE, PRECONDITION_FAILED].includes(reply.status),
    };
  }

  async read(key: string, level: ReadLevel, token: string | null = null): Promise<ReadOutcome> {
    const sentMs = performance.now();
    const headers =
      `Read-Consistency: ${formatReadLevel(level)}\r\n` +
      (token === null ? '' : `Consistency-Token: ${token}\r\n`);
    const reply = await this.#pool.exchange('GET', this.#path(key), null, headers).catch(() => null);
    const atMs = performance.now();
    if (reply === null) {
      return { type: 'unavailable', reason: 'no connection', isWrong: false, sentMs, atMs };
    }
    const isAbsent = reply.status === 404 && codeOf(reply.text, 404) === 'ENTRY_NOT_FOUND';
    if (reply.status !== 200 && !isAbsent) {
      const isWrong = !UNAVAILABLE.includes(reply.status);
      return { type: 'unavailable', reason: codeOf(reply.text, reply.status), isWrong, sentMs, atMs };
    }
    const staleness = parseStaleness(headerOf(reply.head, 'staleness') ?? '');
    const age = headerOf(reply.head, 'age');
    return {
      type: 'value',
      value: isAbsent ? 0 : Number(/"value":(\d+)/.exec(reply.text)?.[1]),
      revision: isAbsent ? 0 : revisionOf(reply.text),
      isLinearizable: headerOf(reply.head, 'read-consistency') === 'linearizable',
      stalenessMs: staleness?.ms ?? null,
      ageSeconds: age === null ? null : Number(age),
      quorum: staleness?.quorum ?? null,
      sentMs,
      atMs,
    };
  }

  close(): void {
    this.#pool.close();
  }

  #path(key: string): string {
    return `/v1/namespaces/${this.namespace}/entries/${key}`;
  }
}

function revisionOf(text: string): number {
  return Number(/"revision":(\d+)/.exec(text)?.[1]);
}

function codeOf(text: string, status: number): string {
  return /"code":"(\w+)"/.exec(text)?.[1] ?? String(status);
}
