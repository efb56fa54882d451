import { decodeConsistencyToken, encodeConsistencyToken, QuorateError, HEADERS } from '@quorate/api';
import type { ConsistencyToken } from '@quorate/api';
import type { Revision } from '@quorate/kv';

/** Writes and reads the `Consistency-Token` header of one cluster. */
export class ConsistencyTokens {
  constructor(
    private readonly key: Uint8Array,
    readonly clusterId: string,
    readonly epoch: number,
  ) {}

  /** A token that says "seen this revision"; `epoch` is the cluster file's unless the answer named another. */
  encode(revision: Revision, epoch: number = this.epoch): string {
    return encodeConsistencyToken(this.key, { clusterId: this.clusterId, epoch, revision });
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
   * Throws TOKEN_AHEAD when `head`, proven by a quorum round of the token's epoch, is smaller than what the token has
   * seen: acknowledged data is missing. That is an alarm, and no retry helps.
   */
  refuseAhead(seen: ConsistencyToken | null, head: Revision): void {
    if (seen !== null && seen.epoch === this.epoch && seen.revision > head) {
      throw new QuorateError('TOKEN_AHEAD', undefined, { head });
    }
  }
}
