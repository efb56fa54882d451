import type { StoreRequest, StoreResponse } from '@quorate/api';
import { ByteReader, ByteWriter } from '@quorate/kv';
import {
  decodeMessage,
  decodeStoreRequest,
  decodeStoreResponse,
  encodeMessage,
  encodeStoreRequest,
  encodeStoreResponse,
} from '@quorate/link/codec';
import type { Message } from '@quorate/raft';
import type { SeededRandom } from './random.js';

/**
 * What travels between hosts is bytes, by the link's own codec: encoded when it is sent, decoded anew at each
 * arrival. A codec that loses something is found, and so is an object that two members would share. In some
 * worlds only a share of the traffic is encoded, so that a fault of both ways of travelling shows.
 */
export class Wire {
  readonly #random: SeededRandom;
  readonly #encodedShare: number;

  constructor(random: SeededRandom) {
    this.#random = random;
    this.#encodedShare = random.pick([0.1, 0.3, 1]);
  }

  /** Each returned function gives what arrives, once for each arrival. */
  message(message: Message): () => Message {
    return this.#carry(message, () => {
      const bytes = encodeMessage(message);
      return () => decodeMessage(bytes);
    });
  }

  request(request: StoreRequest): () => StoreRequest {
    return this.#carry(request, () => {
      const writer = new ByteWriter();
      encodeStoreRequest(writer, request);
      const bytes = writer.finish();
      return () => decodeStoreRequest(new ByteReader(bytes));
    });
  }

  response(response: StoreResponse): () => StoreResponse {
    return this.#carry(response, () => {
      const writer = new ByteWriter();
      encodeStoreResponse(writer, response);
      const bytes = writer.finish();
      return () => decodeStoreResponse(bytes);
    });
  }

  #carry<Item>(item: Item, encode: () => () => Item): () => Item {
    return this.#random.chance(this.#encodedShare) ? encode() : () => item;
  }
}
