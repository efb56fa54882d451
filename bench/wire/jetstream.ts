import { type NatsConnection, connect } from 'nats';
import type { Address } from './sockets.js';

const STREAM = 'KV_bench';
const SUBJECT = '$KV.bench.';
const TIMEOUT_MS = 30_000;

interface JetStreamAnswer {
  readonly error?: { readonly code: number; readonly description?: string };
  readonly seq?: number;
  readonly message?: { readonly data?: string };
  readonly cluster?: { readonly leader?: string };
}

/**
 * A key-value bucket of NATS, spoken to in JetStream's own messages: a bucket is a stream with one message a subject. Reads by `read`
 * are answered by the stream's leader, by `readDirect` by any server that holds the stream.
 */
export class JetStreamBucket {
  readonly #nats: NatsConnection;

  private constructor(nats: NatsConnection) {
    this.#nats = nats;
  }

  static async open({ host, port }: Address): Promise<JetStreamBucket> {
    const nats = await connect({
      servers: `${host}:${port}`,
      ignoreClusterUpdates: true,
      maxReconnectAttempts: -1,
      reconnectTimeWait: 50,
    });
    return new JetStreamBucket(nats);
  }

  /** Name of the server that leads the stream, which is made when there is none; null while nobody leads. */
  async leader(replicas: number): Promise<string | null> {
    const answer = await this.#ask(`$JS.API.STREAM.INFO.${STREAM}`, '', 1_000);
    if (answer.error === undefined) return answer.cluster?.leader ?? null;
    if (answer.error.code !== 404) return null;
    const configuration = {
      name: STREAM,
      subjects: [`${SUBJECT}>`],
      storage: 'file',
      num_replicas: replicas,
      max_msgs_per_subject: 1,
      discard: 'new',
      allow_direct: true,
      allow_rollup_hdrs: true,
    };
    await this.#ask(`$JS.API.STREAM.CREATE.${STREAM}`, JSON.stringify(configuration), 5_000);
    return null;
  }

  /** Resolves when the stream's leader has acknowledged it. */
  async put(key: string, value: Uint8Array): Promise<void> {
    const answer = await this.#ask(`${SUBJECT}${key}`, value, TIMEOUT_MS);
    if (answer.seq === undefined) throw new Error(answer.error?.description ?? 'no acknowledgement');
  }

  async read(key: string): Promise<Buffer> {
    const question = JSON.stringify({ last_by_subj: `${SUBJECT}${key}` });
    const answer = await this.#ask(`$JS.API.STREAM.MSG.GET.${STREAM}`, question, TIMEOUT_MS);
    if (answer.message === undefined) throw new Error(answer.error?.description ?? 'no message');
    return Buffer.from(answer.message.data ?? '', 'base64');
  }

  async readDirect(key: string): Promise<Uint8Array> {
    const subject = `$JS.API.DIRECT.GET.${STREAM}.${SUBJECT}${key}`;
    return (await this.#nats.request(subject, '', { timeout: TIMEOUT_MS })).data;
  }

  /** Calls `onValue` with each value written from now on. */
  async watch(onValue: (value: Uint8Array) => void): Promise<void> {
    const inbox = `bench.watch.${process.pid}`;
    this.#nats.subscribe(inbox, { callback: (_error, message) => onValue(message.data) });
    const config = {
      deliver_subject: inbox,
      deliver_policy: 'new',
      ack_policy: 'none',
      replay_policy: 'instant',
    };
    const answer = await this.#ask(
      `$JS.API.CONSUMER.CREATE.${STREAM}`,
      JSON.stringify({ stream_name: STREAM, config }),
      TIMEOUT_MS,
    );
    if (answer.error !== undefined) throw new Error(answer.error.description);
  }

  async close(): Promise<void> {
    await this.#nats.close();
  }

  async #ask(subject: string, payload: string | Uint8Array, timeout: number): Promise<JetStreamAnswer> {
    const reply = await this.#nats.request(subject, payload, { timeout });
    return reply.json<JetStreamAnswer>();
  }
}
