import { Agent, type IncomingHttpHeaders, request as httpRequest } from 'node:http';
import { formatReadLevel, parseStaleness, type ReadLevel } from '@quorate/api';

/** Longer than a gateway's own deadlines. */
const TIMEOUT_MS = 5_000;
const SOCKETS_MAX = 64;

/** An answer, or why there is none. */
export type Reply =
  | {
      readonly type: 'answer';
      readonly status: number;
      readonly headers: IncomingHttpHeaders;
      readonly text: string;
    }
  /** `refused`: the connection was never there, so nothing happened. */
  | { readonly type: 'none'; readonly refused: boolean };

export interface WriteOutcome {
  readonly type: 'acknowledged' | 'none' | 'unknown';
  /** The Consistency-Token of an acknowledgement; else null. */
  readonly token: string | null;
  /** Why it was not acknowledged. */
  readonly reason: string;
}

export type ReadOutcome =
  | {
      readonly type: 'value';
      /** 0: the entry does not exist. */
      readonly value: number;
      readonly isLinearizable: boolean;
      readonly stalenessMs: number | null;
      readonly ageSeconds: number | null;
      readonly quorum: boolean | null;
      readonly sentMs: number;
      readonly atMs: number;
    }
  | { readonly type: 'unavailable'; readonly reason: string; readonly sentMs: number; readonly atMs: number };

/** Writes and reads numbers of one namespace at one gateway, as any REST client would. */
export class SoakRequests {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: SOCKETS_MAX });

  constructor(
    private readonly address: { readonly host: string; readonly port: number },
    private readonly adminToken: string,
    private readonly namespace: string,
  ) {}

  async createNamespace(): Promise<void> {
    const reply = await this.#send('PUT', `/v1/namespaces/${this.namespace}`, '{"kind":"cached"}', {});
    if (reply.type === 'none' || reply.status > 201)
      throw new Error(`no namespace: ${JSON.stringify(reply)}`);
  }

  async write(key: string, value: number): Promise<WriteOutcome> {
    const reply = await this.#send('PUT', this.#path(key), String(value), {});
    if (reply.type === 'none') {
      const reason = reply.refused ? 'no connection' : 'connection lost';
      return { type: reply.refused ? 'none' : 'unknown', token: null, reason };
    }
    if (reply.status === 200 || reply.status === 201) {
      return { type: 'acknowledged', token: headerOf(reply.headers, 'consistency-token'), reason: '' };
    }
    const effect = /"effect":"(\w+)"/.exec(reply.text)?.[1];
    return {
      type: effect === 'none' ? 'none' : 'unknown',
      token: null,
      reason: codeOf(reply.text, reply.status),
    };
  }

  async read(key: string, level: ReadLevel, token: string | null = null): Promise<ReadOutcome> {
    const sentMs = performance.now();
    const headers = {
      'read-consistency': formatReadLevel(level),
      ...(token === null ? {} : { 'consistency-token': token }),
    };
    const reply = await this.#send('GET', this.#path(key), null, headers);
    const atMs = performance.now();
    if (reply.type === 'none') return { type: 'unavailable', reason: 'no connection', sentMs, atMs };
    const isAbsent = reply.status === 404 && codeOf(reply.text, 404) === 'ENTRY_NOT_FOUND';
    if (reply.status !== 200 && !isAbsent) {
      return { type: 'unavailable', reason: codeOf(reply.text, reply.status), sentMs, atMs };
    }
    const staleness = parseStaleness(headerOf(reply.headers, 'staleness') ?? '');
    const age = headerOf(reply.headers, 'age');
    return {
      type: 'value',
      value: isAbsent ? 0 : Number(/"value":(\d+)/.exec(reply.text)?.[1]),
      isLinearizable: headerOf(reply.headers, 'read-consistency') === 'linearizable',
      stalenessMs: staleness?.ms ?? null,
      ageSeconds: age === null ? null : Number(age),
      quorum: staleness?.quorum ?? null,
      sentMs,
      atMs,
    };
  }

  close(): void {
    this.#agent.destroy();
  }

  #path(key: string): string {
    return `/v1/namespaces/${this.namespace}/entries/${key}`;
  }

  #send(
    method: string,
    path: string,
    body: string | null,
    headers: Readonly<Record<string, string>>,
  ): Promise<Reply> {
    return new Promise((resolve) => {
      const content =
        body === null ? {} : { 'content-type': 'application/json', 'content-length': body.length };
      const request = httpRequest(
        {
          ...this.address,
          method,
          path,
          agent: this.#agent,
          headers: { authorization: `Bearer ${this.adminToken}`, ...content, ...headers },
        },
        (response) => {
          let text = '';
          response.setEncoding('utf8');
          response.on('data', (part: string) => (text += part));
          response.on('error', () => none(false));
          response.on('aborted', () => none(false));
          response.on('end', () => {
            clearTimeout(timer);
            resolve({ type: 'answer', status: response.statusCode ?? 0, headers: response.headers, text });
          });
        },
      );
      const none = (refused: boolean): void => {
        clearTimeout(timer);
        resolve({ type: 'none', refused });
      };
      const timer = setTimeout(() => request.destroy(new Error('timed out')), TIMEOUT_MS);
      request.on('error', (error) => none('code' in error && error.code === 'ECONNREFUSED'));
      request.end(body ?? undefined);
    });
  }
}

function headerOf(headers: IncomingHttpHeaders, name: string): string | null {
  const value = headers[name];
  return typeof value === 'string' ? value : null;
}

function codeOf(text: string, status: number): string {
  return /"code":"(\w+)"/.exec(text)?.[1] ?? String(status);
}
