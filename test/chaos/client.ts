import { setTimeout as sleep } from 'node:timers/promises';
import { ERRORS, type ReadLevel, formatReadLevel, isErrorCode, parseStaleness } from '@quorate/api';
import { type HttpAnswer, HttpPool, NotConnected, headerOf } from '../../bench/wire/http.js';
import type { ChaosCluster } from './cluster.js';
import type { Part } from './fault.js';
import type { Completion, Invocation, Recorder } from './history.js';
import type { Operation, Outcome } from './operation.js';

/** Longer than a gateway's own deadlines: who waits longer than this has got no answer. */
const TIMEOUT_MS = 5_000;
/** How long a write is sent again with one Idempotency-Key, while its outcome is unknown: longer than a quorum is away in most faults. */
const REPEAT_MS = 15_000;
/** After a refusal or no answer: doubling from the first to the last, and spread at random. */
const [PAUSE_MIN_MS, PAUSE_MAX_MS] = [20, 500];

export interface ChaosClientOptions {
  readonly cluster: Pick<ChaosCluster, 'gateways' | 'gatewayAddress' | 'adminToken'>;
  readonly recorder: Recorder;
  readonly workload: string;
  /** `register/3`. */
  readonly client: string;
  /** Numbers in [0, 1). */
  readonly random: () => number;
  readonly timeoutMs?: number;
  /** How long a write with an Idempotency-Key is repeated while its outcome is unknown. */
  readonly repeatMs?: number;
}

/** What may be chosen of each request. */
export interface RequestChoice {
  /** 1 for `gateway1`; by chance unless told. */
  readonly gateway?: number | undefined;
  /** What the history calls it; each method has a name of its own. */
  readonly action?: string;
}

export interface WriteChoice extends RequestChoice {
  /** The revision that the entry must have; null: it must not exist; absent: whatever is there. */
  readonly over?: number | null | undefined;
  /** Sent again and again under this key, through any gateway, while the outcome is unknown: one operation with `attempts`. */
  readonly idempotencyKey?: string | undefined;
}

export interface ReadChoice extends RequestChoice {
  /** The namespace's own unless told. */
  readonly level?: ReadLevel;
  /** A Consistency-Token. */
  readonly token?: string | null;
  /** Of whoever reads; the administrator's unless told. */
  readonly bearer?: string;
}

/** Who asks for access to what. */
export interface AccessQuestion {
  readonly principal: { readonly type: string; readonly id: string };
  readonly action: string;
  readonly resource: { readonly type: string; readonly id: string };
}

/** An access token that was made. Its text stands in no history. */
export interface MadeToken {
  readonly operation: Operation;
  /** Null: it is not known to exist. */
  readonly token: { readonly text: string; readonly id: string } | null;
}

/** What of an entry a list shows. */
export interface ListedEntry {
  readonly key: string;
  readonly value: unknown;
  readonly revision: number;
  readonly version: number;
}

interface Request {
  readonly method: string;
  readonly path: string;
  readonly body: unknown;
  readonly headers: string;
}

type Json = Readonly<Record<string, unknown>>;

/** What came of one try. */
interface Reply {
  readonly outcome: Outcome;
  readonly status: number | null;
  readonly code: string | null;
  readonly head: string;
  readonly body: Json;
}

/**
 * One client of a workload: one request at a time over REST, through a gateway by chance, each recorded with what was told of it. It believes
 * no more than it is told: `none` only of a request that was never sent, or whose refusal says so.
 */
export class ChaosClient {
  /** Numbers of the gateways: 1 for `gateway1`. */
  readonly gateways: readonly number[];
  readonly random: () => number;
  readonly #options: ChaosClientOptions;
  readonly #pools = new Map<number, HttpPool>();
  #refusals = 0;
  #isInVain = false;

  constructor(options: ChaosClientOptions) {
    this.#options = options;
    this.random = options.random;
    const timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
    for (const gateway of options.cluster.gateways) {
      const address = options.cluster.gatewayAddress(gateway);
      this.#pools.set(numberOf(gateway), new HttpPool(address, '', timeoutMs));
    }
    this.gateways = [...this.#pools.keys()];
  }

  close(): void {
    for (const pool of this.#pools.values()) pool.close();
  }

  /** One of these, by chance. */
  pick<Item>(items: readonly Item[]): Item {
    const item = items[Math.floor(this.random() * items.length)];
    if (item === undefined) throw new Error('there is nothing to choose from');
    return item;
  }

  put(namespace: string, key: string, value: unknown, choice: WriteChoice = {}): Promise<Operation> {
    const action = choice.over === undefined ? 'put' : 'compareAndSet';
    const known = { tier: 'strict', action, namespace, key, written: value, isWrite: true } as const;
    return this.#write(known, { method: 'PUT', path: entryPath(namespace, key), body: value }, choice);
  }

  delete(namespace: string, key: string, choice: WriteChoice = {}): Promise<Operation> {
    const known = { tier: 'strict', action: 'delete', namespace, key, written: null, isWrite: true } as const;
    return this.#write(known, { method: 'DELETE', path: entryPath(namespace, key) }, choice);
  }

  /** A read of an entry. `strict`: it must be answered by the store, or by a proof of it. */
  get(
    namespace: string,
    key: string,
    tier: 'strict' | 'content',
    choice: ReadChoice = {},
  ): Promise<Operation> {
    const known = { tier, action: 'get', namespace, key };
    return this.#read(known, entryPath(namespace, key), choice, ({ status, body }) => ({
      value: status === 404 ? null : body['value'],
      revision: status === 404 ? null : numberIn(body, 'revision'),
    }));
  }

  /** The entries below a prefix, at most 1,000, in one operation whose value is `ListedEntry[]`; null if there are more. */
  list(namespace: string, prefix: string, choice: ReadChoice = {}): Promise<Operation> {
    const path = `/v1/namespaces/${namespace}/entries?limit=1000&prefix=${encodeURIComponent(prefix)}`;
    const known = { tier: 'strict', action: 'list', namespace, key: prefix } as const;
    return this.#read(known, path, choice, ({ body }) => ({
      value: body['truncated'] === false ? listedEntries(body['entries']) : null,
      head: numberIn(body, 'revision'),
    }));
  }

  /** A namespace that exists already is left as it is. */
  createNamespace(namespace: string, kind: 'strict' | 'cached'): Promise<Operation> {
    const action = 'create namespace';
    const known = { tier: 'strict', action, namespace, key: '', written: kind, isWrite: true } as const;
    return this.#write(known, { method: 'PUT', path: `/v1/namespaces/${namespace}`, body: { kind } }, {});
  }

  setReaders(
    namespace: string,
    readers: readonly string[] | null,
    choice: WriteChoice = {},
  ): Promise<Operation> {
    const action = 'set readers';
    const known = { tier: 'strict', action, namespace, key: '', written: readers, isWrite: true } as const;
    const path = `/v1/namespaces/${namespace}/readers`;
    return this.#write(known, { method: 'PUT', path, body: { readers } }, choice);
  }

  /** `text`: one Cedar policy. */
  putPolicy(id: string, text: string, choice: WriteChoice = {}): Promise<Operation> {
    const known = policyInvocation('put policy', id, text);
    return this.#write(known, { method: 'PUT', path: policyPath(id), body: text }, choice);
  }

  deletePolicy(id: string, choice: WriteChoice = {}): Promise<Operation> {
    return this.#write(
      policyInvocation('delete policy', id, null),
      { method: 'DELETE', path: policyPath(id) },
      choice,
    );
  }

  putEntity(type: string, id: string): Promise<Operation> {
    const key = `entities/${type}/${id}`;
    const action = 'put entity';
    const known = { tier: 'strict', action, namespace: 'access', key, written: {}, isWrite: true } as const;
    const path = `/v1/access/entities/${encodeURIComponent(type)}/${encodeURIComponent(id)}`;
    return this.#write(known, { method: 'PUT', path, body: { attrs: {}, parents: [] } }, {});
  }

  /** Whether it is allowed, in one operation whose value says so; its revision is that of the policies which decided. */
  check(question: AccessQuestion, choice: RequestChoice = {}): Promise<Operation> {
    const action = choice.action ?? 'check';
    const known = {
      tier: 'strict',
      action,
      namespace: 'access',
      key: question.action,
      written: null,
    } as const;
    const request = { method: 'POST', path: '/v1/access/check', body: { ...question, context: {} } };
    return this.#send(known, request, choice, ({ body }) => ({
      value: body['allowed'],
      revision: numberIn(body, 'revision'),
    }));
  }

  /** Not repeated: each time another token is made. */
  async makeToken(
    principal: string,
    scopes: readonly string[],
    choice: RequestChoice = {},
  ): Promise<MadeToken> {
    const known = { tier: 'strict', namespace: 'tokens', key: principal, written: scopes } as const;
    let token: MadeToken['token'] = null;
    const operation = await this.#write(
      { ...known, action: 'make token', isWrite: true },
      { method: 'POST', path: '/v1/access/tokens', body: { name: principal, principal, scopes } },
      choice,
      ({ body }) => {
        const { token: text, id } = body;
        if (typeof text === 'string' && typeof id === 'string') token = { text, id };
        return { revision: numberIn(body, 'createRevision') };
      },
    );
    return { operation, token };
  }

  /** Never sent again under a key: ENTRY_NOT_FOUND says as surely as an acknowledgement that it is gone. `principal`: for the history. */
  deleteToken(principal: string, id: string, choice: RequestChoice = {}): Promise<Operation> {
    const known = { tier: 'strict', namespace: 'tokens', key: principal, written: null } as const;
    const request = { method: 'DELETE', path: `/v1/access/tokens/${id}` };
    return this.#write({ ...known, action: 'delete token', isWrite: true }, request, choice);
  }

  /** The same request again and again until it is done: before the faults. Throws when it is not within `tries`. */
  async insist(what: string, request: () => Promise<Operation>, tries = 60): Promise<Operation> {
    const operation = await this.attempt(request, tries);
    if (operation === null) throw new Error(`${this.#options.client} tried ${tries} times in vain: ${what}`);
    return operation;
  }

  /** The same, when all is healed. Null: it was not done within `tries`; then it is for the judge to say what that means. */
  async attempt(request: () => Promise<Operation>, tries = 60): Promise<Operation | null> {
    // Once it was in vain, the next ones will hardly be better, and there may be hundreds.
    for (let left = this.#isInVain ? 1 : tries; left > 0; left -= 1) {
      const operation = await request();
      if (operation.outcome === 'done') return operation;
    }
    this.#isInVain = true;
    return null;
  }

  async #write(
    known: Omit<Invocation, 'client' | 'workload' | 'gateway'>,
    request: Omit<Request, 'headers' | 'body'> & { readonly body?: unknown },
    choice: WriteChoice,
    told: (reply: Reply) => Partial<Completion> = ({ body }) => ({ revision: numberIn(body, 'revision') }),
  ): Promise<Operation> {
    const { over, idempotencyKey, gateway = this.pick(this.gateways) } = choice;
    const headers =
      conditionHeader(over) + (idempotencyKey === undefined ? '' : `Idempotency-Key: ${idempotencyKey}\r\n`);
    const { client, workload, recorder } = this.#options;
    const complete = recorder.begin({
      ...known,
      action: choice.action ?? known.action,
      client,
      workload,
      gateway,
      ...(over === undefined ? {} : { expected: over }),
    });
    let through = gateway;
    let mayHaveHappened = false;
    const startedMs = recorder.nowMs();
    for (let attempts = 1; ; attempts += 1) {
      const reply = await this.#exchange(through, { body: undefined, ...request, headers }, null);
      const { status, code } = reply;
      mayHaveHappened ||= reply.outcome === 'unknown';
      const outcome = mayHaveHappened ? sureOutcome(reply) : reply.outcome;
      const isLate = recorder.nowMs() - startedMs >= (this.#options.repeatMs ?? REPEAT_MS);
      if (outcome !== 'unknown' || idempotencyKey === undefined || isLate) {
        const details =
          outcome === 'done' ? told(reply) : { revision: numberIn(reply.body, 'currentRevision') };
        const token = tokenOf(reply);
        const head = numberIn(reply.body, 'head');
        const operation = complete({
          outcome,
          status,
          code,
          attempts,
          gateway: through,
          token,
          head,
          ...details,
        });
        await this.#pauseAfter(status);
        return operation;
      }
      await this.#pauseAfter(status);
      through = choice.gateway ?? this.pick(this.gateways);
    }
  }

  #read(
    known: {
      readonly tier: 'strict' | 'content';
      readonly action: string;
      readonly namespace: string;
      readonly key: string;
    },
    path: string,
    choice: ReadChoice,
    told: (reply: Reply) => Partial<Completion>,
  ): Promise<Operation> {
    const { level, token = null } = choice;
    const headers =
      (level === undefined ? '' : `Read-Consistency: ${formatReadLevel(level)}\r\n`) +
      (token === null ? '' : `Consistency-Token: ${token}\r\n`);
    const request = { method: 'GET', path, body: undefined, headers };
    const action = choice.action ?? known.action;
    return this.#send({ ...known, action, written: null, tokenSent: token }, request, choice, (reply) => {
      const staleness = parseStaleness(headerOf(reply.head, 'staleness') ?? '');
      return {
        head: staleness?.revision ?? null,
        stalenessMs: staleness?.ms ?? null,
        quorum: staleness?.quorum ?? null,
        ...told(reply),
      };
    });
  }

  /** A request that changes nothing: whatever is no answer to it is without effect. */
  async #send(
    known: Omit<Invocation, 'client' | 'workload' | 'gateway' | 'isWrite'>,
    request: Omit<Request, 'headers'> & { readonly headers?: string },
    choice: RequestChoice & { readonly bearer?: string },
    told: (reply: Reply) => Partial<Completion>,
  ): Promise<Operation> {
    const { gateway = this.pick(this.gateways) } = choice;
    const { client, workload, recorder } = this.#options;
    const complete = recorder.begin({ ...known, client, workload, gateway, isWrite: false });
    const reply = await this.#exchange(gateway, { headers: '', ...request }, choice.bearer ?? null);
    const { status, code } = reply;
    const isAnswer = reply.outcome === 'done' || (status === 404 && code === 'ENTRY_NOT_FOUND');
    const level = headerOf(reply.head, 'read-consistency');
    const common = { status, code: isAnswer ? null : code, level, token: tokenOf(reply) };
    const operation = complete(
      isAnswer ? { outcome: 'done', ...common, ...told(reply) } : { outcome: 'none', ...common },
    );
    await this.#pauseAfter(status);
    return operation;
  }

  async #exchange(gateway: number, request: Request, bearer: string | null): Promise<Reply> {
    const pool = this.#pools.get(gateway);
    if (pool === undefined) throw new Error(`there is no gateway ${gateway}`);
    const { method, path, body } = request;
    const authorization = `Authorization: Bearer ${bearer ?? this.#options.cluster.adminToken}\r\n`;
    const text = body === undefined ? null : JSON.stringify(body);
    let answer: HttpAnswer;
    try {
      answer = await pool.exchange(method, path, text, authorization + request.headers);
    } catch (error) {
      const outcome = error instanceof NotConnected ? 'none' : 'unknown';
      return { outcome, status: null, code: null, head: '', body: {} };
    }
    return replyOf(answer);
  }

  /** A gateway that is down or refuses is not hammered. What was decided, also a 404 or a 412, is no reason to wait. */
  async #pauseAfter(status: number | null): Promise<void> {
    if (status !== null && status < 429) {
      this.#refusals = 0;
      return;
    }
    const longestMs = Math.min(PAUSE_MAX_MS, PAUSE_MIN_MS * 2 ** this.#refusals);
    this.#refusals += 1;
    await sleep(longestMs * (0.5 + this.random() / 2));
  }
}

/** Says also what became of earlier tries under the same key: the state machine's first answer is that of all of them. */
function sureOutcome({ outcome, code }: Reply): Outcome {
  if (outcome === 'done') return 'done';
  return code === 'PRECONDITION_FAILED' || code === 'ENTRY_NOT_FOUND' ? 'none' : 'unknown';
}

function replyOf({ status, head, text }: HttpAnswer): Reply {
  const body = jsonOf(text);
  const code = typeof body['code'] === 'string' ? body['code'] : null;
  if (status >= 200 && status < 300) return { outcome: 'done', status, code: null, head, body };
  // The words of the answer and those of the catalogue: both must say that nothing happened.
  const isSure =
    body['effect'] === 'none' && isErrorCode(code ?? '') && ERRORS[codeIn(code)].effect === 'none';
  return { outcome: isSure ? 'none' : 'unknown', status, code, head, body };
}

function codeIn(code: string | null): keyof typeof ERRORS {
  return code !== null && isErrorCode(code) ? code : 'INTERNAL';
}

function jsonOf(text: string): Json {
  try {
    const parsed: unknown = JSON.parse(text);
    return typeof parsed === 'object' && parsed !== null ? { ...parsed } : {};
  } catch {
    return {};
  }
}

function numberIn(body: Json, name: string): number | null {
  const value = body[name];
  return typeof value === 'number' ? value : null;
}

function tokenOf({ head }: Reply): string | null {
  return headerOf(head, 'consistency-token');
}

function listedEntries(entries: unknown): readonly ListedEntry[] {
  if (!Array.isArray(entries)) return [];
  return entries.map((entry: ListedEntry) => {
    const { key, value, revision, version } = entry;
    return { key, value, revision, version };
  });
}

function conditionHeader(over: number | null | undefined): string {
  if (over === undefined) return '';
  return over === null ? 'If-None-Match: *\r\n' : `If-Match: "m${over}"\r\n`;
}

function entryPath(namespace: string, key: string): string {
  return `/v1/namespaces/${namespace}/entries/${key}`;
}

function policyPath(id: string): string {
  return `/v1/access/policies/${id}`;
}

function policyInvocation(action: string, id: string, written: string | null) {
  const key = `policies/${id}`;
  return { tier: 'strict', action, namespace: 'access', key, written, isWrite: true } as const;
}

function numberOf(gateway: Part): number {
  return Number(gateway.replace('gateway', ''));
}
