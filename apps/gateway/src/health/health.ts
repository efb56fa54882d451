import { jsonAnswer, type Answer } from '../http/answer.js';
import type { NatsState } from '../messages/quorate-nats-server.js';
import { sawQuorum, type ViewStatus } from '../store/store.js';

/** The process answers, so it lives. Never depends on peers: a restart would not bring back a quorum. */
export function healthAnswer(view: ViewStatus, nats: NatsState): Answer {
  return jsonAnswer(200, {}, { status: 'ok', quorum: sawQuorum(view), cache: view.state, nats });
}

/** Ready once the cache has synced, however stale it is by now: then this gateway keeps answering cached reads. */
export function readinessAnswer(view: ViewStatus): Answer {
  const { state, stalenessMs, revision } = view;
  const isReady = state === 'live' || state === 'stale';
  return jsonAnswer(
    isReady ? 200 : 503,
    {},
    { status: isReady ? 'ready' : 'syncing', quorum: sawQuorum(view), cache: state, stalenessMs, revision },
  );
}
