import { decodeFeedMessage } from '@quorate/feed';
import { CLUSTER_ID, FEED_KEY } from '../member.js';
import { isCached } from '../namespaces.js';
import type { World } from '../world.js';

/** Strict data never leaves the members: whoever listens to the feed hears of cached entries and of names, and of nothing else. */
export function checkFeedMessage(world: World, bytes: Uint8Array): void {
  const message = decodeFeedMessage(FEED_KEY, CLUSTER_ID, bytes);
  if (message.type === 'refused') world.violation('members publish what can be read', message.reason);
  if (message.type !== 'batch') return;
  for (const change of message.batch.changes) {
    if (change.type === 'namespace') continue;
    const { namespace, key } = change.type === 'put' ? change.entry : change;
    if (!isCached(namespace))
      world.violation('strict data never leaves the members', `${namespace}/${key} was published`);
  }
}
