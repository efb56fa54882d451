export { chainStep } from './chain.js';
export type { ChainLink, ChainState, ChainStep } from './chain.js';
export { decodeFeedMessage, encodeFeedMessage, FEED_MESSAGE_BYTES_MAX } from './message.js';
export type { DecodedFeedMessage, FeedMessage, FeedRefusal } from './message.js';
export { FeedPublisher } from './publisher.js';
export type { FeedPublisherOptions, FeedSource } from './publisher.js';
