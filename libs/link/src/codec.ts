/** The wire forms alone, without sockets: what a simulated network carries is encoded and decoded by these too. */
export { decodeMessage, encodeMessage } from './raft-codec.js';
export {
  decodeStoreRequest,
  decodeStoreResponse,
  encodeStoreRequest,
  encodeStoreResponse,
} from './store-codec.js';
