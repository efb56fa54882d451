import type { Clock } from './environment.js';

/** What brings the feed when it does not come over a link: `connectFeed` of @quorate/feed/nats fits. */
export interface FeedTransport {
  /** Whether anything can come at all. A source that died silently may go on saying so: probes show what is missing. */
  readonly connected: boolean;
  subscribe(onBytes: (bytes: Uint8Array) => void): () => void;
  /** Calls `listener` whenever `connected` may have changed. There is one listener. */
  onConnectedChange(listener: () => void): void;
  close(): Promise<void>;
}

/** The same stream over one link at a time. */
interface LinkFeed {
  subscribeFeed(onBytes: (bytes: Uint8Array) => void): () => void;
}

/** A link goes on for so long beside a source that came back: what is published just then comes by one of the two. */
const OVERLAP_MS = 1_000;

/**
 * Follows the feed: over `source` while that is connected, else over a link; without a source always over a link. Both carry the same
 * messages, and what comes twice or not at all the chain of revisions shows. The returned function ends it, and closes the source.
 */
export function followFeed(
  {
    source,
    links,
    clock,
  }: { readonly source: FeedTransport | null; readonly links: LinkFeed; readonly clock: Clock },
  onBytes: (bytes: Uint8Array) => void,
): () => Promise<void> {
  let endLink: (() => void) | null = null;
  let cancelEnd: (() => void) | null = null;
  const endOverlap = (): void => {
    cancelEnd?.();
    cancelEnd = null;
  };
  const stopLink = (): void => {
    endLink?.();
    endLink = null;
  };
  const look = (): void => {
    endOverlap();
    if (source?.connected !== true) endLink ??= links.subscribeFeed(onBytes);
    else if (endLink !== null) cancelEnd = clock.setTimer(OVERLAP_MS, stopLink);
  };
  const unsubscribe = source?.subscribe(onBytes);
  source?.onConnectedChange(look);
  look();
  return () => {
    source?.onConnectedChange(() => undefined);
    endOverlap();
    stopLink();
    unsubscribe?.();
    return source?.close() ?? Promise.resolve();
  };
}
