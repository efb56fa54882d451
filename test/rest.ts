import { setTimeout as sleep } from 'node:timers/promises';

// oxlint-disable-next-line typescript/no-explicit-any -- tests look into answers of many shapes
export type Json = any;

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  /** Parsed when it is JSON, else the text. */
  readonly body: Json;
  readonly milliseconds: number;
}

export interface RequestOptions {
  /** Sent as JSON. */
  readonly body?: unknown;
  /** Sent as it is. */
  readonly raw?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Another gateway than the usual one. */
  readonly url?: string;
}

/** Whatever takes REST requests for a whole cluster. */
export interface Requester {
  request(method: string, path: string, options?: RequestOptions): Promise<Answer>;
}

export async function sendRequest(
  url: string,
  token: string,
  method: string,
  path: string,
  options: RequestOptions = {},
): Promise<Answer> {
  const started = performance.now();
  const body = options.raw ?? (options.body === undefined ? null : JSON.stringify(options.body));
  const headers = {
    authorization: `Bearer ${token}`,
    ...(body === null ? {} : { 'content-type': 'application/json' }),
    ...options.headers,
  };
  const signal = AbortSignal.timeout(15_000);
  const response = await fetch(`${options.url ?? url}${path}`, { method, headers, body, signal });
  const text = await response.text();
  const isJson = (response.headers.get('content-type') ?? '').includes('json');
  return {
    status: response.status,
    headers: response.headers,
    body: isJson && text !== '' ? JSON.parse(text) : text,
    milliseconds: performance.now() - started,
  };
}

/** Polls until the condition holds; throws with the sentence when it does not in time. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  timeoutMs = 20_000,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await sleep(25);
  }
}
