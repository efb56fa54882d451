export { type ClusterDescription, isLoopbackHost } from './cluster.js';
export {
  LinkConnection,
  type LinkConnectionOptions,
  type LinkState,
  type LostResponse,
} from './connection.js';
export { FRAME_BYTES_MAX } from './frames.js';
export { LINK_VERSION, type LinkRefusal } from './handshake.js';
export { decodeMessage, encodeMessage } from './raft-codec.js';
export {
  type FeedSubscriber,
  type LinkCaller,
  LinkServer,
  type LinkServerCounts,
  type LinkServerOptions,
} from './server.js';
export {
  decodeStoreRequest,
  decodeStoreResponse,
  encodeStoreRequest,
  encodeStoreResponse,
} from './store-codec.js';
export { DEFAULT_TIMING, type LinkTiming } from './timing.js';
