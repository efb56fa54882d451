import { setTimeout as sleep } from 'node:timers/promises';
import type { Answer, Requester } from './rest.js';

export type Outcome = 'acknowledged' | 'none' | 'unknown';

export interface WriteRecord {
  readonly key: string;
  readonly value: number;
  readonly outcome: Outcome;
  readonly revision: number | null;
}

/** Writes without pause, each value once to a key of its own, and records what was said of each write. */
export class Writer {
  readonly records: WriteRecord[] = [];
  #stopping = false;
  readonly #loops: Promise<void>[] = [];

  constructor(
    private readonly cluster: Requester,
    private readonly namespace: string,
    private readonly options: {
      readonly clients?: number;
      readonly prefix?: string;
      readonly url?: string;
    } = {},
  ) {}

  start(): this {
    for (let client = 0; client < (this.options.clients ?? 4); client++) this.#loops.push(this.#loop(client));
    return this;
  }

  async stop(): Promise<readonly WriteRecord[]> {
    this.#stopping = true;
    await Promise.all(this.#loops);
    return this.records;
  }

  get acknowledged(): readonly WriteRecord[] {
    return this.records.filter((record) => record.outcome === 'acknowledged');
  }

  async #loop(client: number): Promise<void> {
    for (let n = 0; !this.#stopping; n++) {
      const key = `${this.options.prefix ?? 'w'}/${client}/${n}`;
      const value = client * 1_000_000 + n;
      const path = `/v1/namespaces/${this.namespace}/entries/${key}`;
      const { url } = this.options;
      let answer: Answer | null = null;
      try {
        answer = await this.cluster.request('PUT', path, {
          body: value,
          ...(url === undefined ? {} : { url }),
        });
      } catch {
        // The gateway itself went away: nothing is known.
      }
      this.records.push({ key, value, outcome: outcomeOf(answer), revision: answer?.body?.revision ?? null });
      if (answer === null || answer.status >= 500) await sleep(20);
    }
  }
}

function outcomeOf(answer: Answer | null): Outcome {
  if (answer === null) return 'unknown';
  if (answer.status === 200 || answer.status === 201) return 'acknowledged';
  return answer.body?.effect === 'none' ? 'none' : 'unknown';
}

/** Compares what was said of each write with what the store holds now, read linearizably. Returns the lies. */
export async function liesOf(
  cluster: Requester,
  namespace: string,
  records: readonly WriteRecord[],
): Promise<string[]> {
  const lies: string[] = [];
  // Just after faults the leader may change once more: that is no lie.
  const read = async (path: string): Promise<Answer> => {
    for (let left = 20; ; left--) {
      const answer = await cluster.request('GET', path, { headers: { 'read-consistency': 'linearizable' } });
      if ((answer.status !== 503 && answer.status !== 504) || left === 0) return answer;
      await sleep(500);
    }
  };
  const check = async (record: WriteRecord): Promise<void> => {
    const path = `/v1/namespaces/${namespace}/entries/${record.key}`;
    const answer = await read(path);
    const there = answer.status === 200;
    if (!there && answer.status !== 404) lies.push(`${record.key}: could not be read: ${answer.status}`);
    if (record.outcome === 'acknowledged' && !there) lies.push(`${record.key}: acknowledged and lost`);
    if (record.outcome === 'none' && there)
      lies.push(`${record.key}: said to be without effect, and is there`);
    if (there && answer.body.value !== record.value) lies.push(`${record.key}: holds another value`);
    if (there && answer.body.version !== 1)
      lies.push(`${record.key}: was applied ${answer.body.version} times`);
    if (there && record.revision !== null && answer.body.revision !== record.revision)
      lies.push(`${record.key}: acknowledged at ${record.revision}, stored at ${answer.body.revision}`);
  };
  for (let at = 0; at < records.length; at += 32) await Promise.all(records.slice(at, at + 32).map(check));
  return lies;
}
