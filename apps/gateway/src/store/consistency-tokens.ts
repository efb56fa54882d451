import { decodeConsistencyToken, encodeConsistencyToken, QuorateError, HEADERS } from '@quorate/api';
import type { ConsistencyToken } from '@quorate/api';
import { revision, type Revision } from '@quorate/kv';

/** Writes and reads the `Consistency-Token` header of one cluster. */
export class ConsistencyTokens {
  /** The newest one that was written: all answers of a cache at one revision carry the same, and its MAC is a tenth of a cached read. */
  #newest: { readonly revision: Revision; readonly epoch: number; readonly text: string } | null = null;

  constructor(
    private readonly key: Uint8Array,
    readonly clusterId: string,
    readonly epoch: number,
  ) {}

  /** A token that says "seen this revision"; `epoch` is the cluster file's unless the answer named another. */
  encode(revision: Revision, epoch: number = this.epoch): string {
    if (this.#newest?.revision === revision && this.#newest.epoch === epoch) {
      return this.#newest.text;
    }
    const text = encodeConsistencyToken(this.key, { clusterId: this.clusterId, epoch, revision });
    this.#newest = { revision, epoch, text };
    return text;
  }

  /** Reads a caller's token; null when there is none. Throws INVALID_CONSISTENCY_TOKEN. */
  decode(header: string | undefined): ConsistencyToken | null {
    if (header === undefined) {
      return null;
    }
    const token = decodeConsistencyToken(this.key, this.clusterId, header);
    if (typeof token === 'string') {
      throw new QuorateError('INVALID_CONSISTENCY_TOKEN', `The consistency token is refused: ${token}.`, {
        field: HEADERS.consistencyToken,
      });
    }
    return token;
  }

  /**
   * An answer of the store, of which every one says the head that it was proven at, unless the caller has seen more than
   * that: then TOKEN_AHEAD. A refusal says it too: a namespace that "does not exist" may be the data that is missing.
   */
  async checkedAhead<Proven extends { readonly head: Revision }>(
    seen: ConsistencyToken | null,
    asked: Promise<Proven>,
  ): Promise<Proven> {
    const answer = await asked.catch((error: unknown): never => {
      const head = provenHeadOf(error);
      if (head !== null) {
        this.refuseAhead(seen, head);
      }
      throw error;
    });
    this.refuseAhead(seen, answer.head);
    return answer;
  }

  /**
   * Throws TOKEN_AHEAD when `head`, proven by a quorum round of the token's epoch, is smaller than what the token has
   * seen: acknowledged data is missing. That is an alarm, and no retry helps.
   */
  refuseAhead(seen: ConsistencyToken | null, head: Revision): void {
    if (seen !== null && seen.epoch === this.epoch && seen.revision > head) {
      throw new QuorateError('TOKEN_AHEAD', undefined, { head });
    }
  }
}

/** The head that a refusal was decided at. Who is not available, or cannot say what happened, has proven none. */
function provenHeadOf(error: unknown): Revision | null {
  if (!(error instanceof QuorateError) || error.effect === 'unknown' || error.status >= 500) {
    return null;
  }
  const { head } = error.details;
  return head === undefined ? null : revision(head);
}
