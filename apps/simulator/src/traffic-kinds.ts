import { encodeTokenRecord, hashToken } from '@quorate/api';
import { ACCESS_NAMESPACE, TOKENS_NAMESPACE } from '@quorate/kv';
import { checkOf, drawCheck, drawPersonChange, drawPolicyChange, type AccessChange } from './access-world.js';
import { CACHED_NAMESPACE, PASSING_NAMESPACE, STRICT_NAMESPACE } from './namespaces.js';
import { decodeText } from './text.js';
import { COUNTER_KEY, countOf, type CounterValue, type TrafficUser } from './traffic.js';

/**
 * Something that users do, now and then. A new feature brings its own: one line in the table, and a file if
 * it needs one.
 */
export interface TrafficKind {
  readonly name: string;
  /** How often, against the weights of the others. */
  readonly weight: number;
  /** One go of it. `done` is called once, when the last answer is there. */
  run(user: TrafficUser, done: () => void): void;
}

export const ENTRY_TRAFFIC: readonly TrafficKind[] = [
  { name: 'get', weight: 35, run: (user, done) => user.get(user.anyNamespace(), user.anyKey(), done) },
  {
    name: 'put',
    weight: 25,
    run: (user, done) => user.put(user.anyNamespace(), user.anyKey(), undefined, done),
  },
  {
    name: 'delete',
    weight: 10,
    run: (user, done) => user.delete(user.anyNamespace(), user.anyKey(), undefined, done),
  },
  { name: 'compare and set', weight: 15, run: compareAndSet },
  { name: 'increment', weight: 15, run: increment },
  {
    name: 'put under a spent key',
    weight: 2,
    run: (user, done) => user.putUnderSpentKey(user.anyNamespace(), user.anyKey(), done),
  },
  { name: 'list', weight: 5, run: list },
  { name: 'delete or create a namespace', weight: 6, run: deleteOrCreateNamespace },
  { name: 'write by a token', weight: 2, run: writeByToken },
  {
    name: 'set readers',
    weight: 1,
    run: (user, done) =>
      user.setReaders(user.random.chance(0.5) ? CACHED_NAMESPACE : PASSING_NAMESPACE, done),
  },
  {
    name: 'put a draft',
    weight: 10,
    run: (user, done) => user.put(PASSING_NAMESPACE, user.anyKey(), undefined, done),
  },
  {
    name: 'delete a draft',
    weight: 2,
    run: (user, done) => user.delete(PASSING_NAMESPACE, user.anyKey(), undefined, done),
  },
  { name: 'get a draft', weight: 4, run: (user, done) => user.get(PASSING_NAMESPACE, user.anyKey(), done) },
];

/**
 * Grants and revocations by operators, and questions of everybody. A question takes long: Cedar parses for
 * each member anew.
 */
export const ACCESS_TRAFFIC: readonly TrafficKind[] = [
  { name: 'check', weight: 8, run: (user, done) => user.check(drawCheck(user.random), done) },
  {
    name: 'change a person',
    weight: 4,
    run: (user, done) => changeAccess(user, drawPersonChange(user.random, user.freshName()), done),
  },
  {
    name: 'change a policy',
    weight: 1,
    run: (user, done) => changeAccess(user, drawPolicyChange(user.random, user.freshName()), done),
  },
];

function compareAndSet(user: TrafficUser, done: () => void): void {
  const [namespace, key] = [user.anyNamespace(), user.anyKey()];
  user.get(namespace, key, ({ seen }) => {
    if (seen === null) return done();
    if (seen.entryRevision !== null && user.random.chance(0.2)) {
      return user.delete(namespace, key, seen.entryRevision, done);
    }
    user.put(namespace, key, seen.entryRevision, done);
  });
}

function increment(user: TrafficUser, done: () => void): void {
  user.get(STRICT_NAMESPACE, COUNTER_KEY, ({ seen }) => {
    if (seen === null) return done();
    const count = countOf(seen.value ?? null) + 1;
    const value = JSON.stringify({ count, by: user.freshName() } satisfies CounterValue);
    user.put(STRICT_NAMESPACE, COUNTER_KEY, seen.entryRevision, done, value);
  });
}

function list(user: TrafficUser, done: () => void): void {
  const namespace = user.random.chance(0.3) ? PASSING_NAMESPACE : user.anyNamespace();
  user.list(namespace, user.random.pick(['', 'key-', 'key-1']), user.random.pick([1, 3, 1_000]), done);
}

/** A token is made, used while it is revoked, and tried once more. */
function writeByToken(user: TrafficUser, done: () => void): void {
  const name = user.freshName();
  const token = `quorate_${name.padEnd(43, '_')}`;
  const key = hashToken(token);
  const record = encodeTokenRecord({
    name,
    principal: 'ada',
    scopes: ['entries:read', 'entries:write'],
    expiresAtMs: null,
  });
  user.put(
    TOKENS_NAMESPACE,
    key,
    null,
    ({ outcome }) => {
      if (outcome !== 'done') return done();
      let open = 2;
      const ended = (): void => {
        open -= 1;
        if (open === 0) done();
      };
      const revoke = (): void =>
        user.delete(TOKENS_NAMESPACE, key, undefined, (revoked) =>
          revoked.outcome === 'done' ? user.putByToken(token, 'revoked', ended) : ended(),
        );
      if (user.random.chance(0.3)) {
        user.putByToken(token, 'known', () => {
          ended();
          revoke();
        });
        return;
      }
      user.putByToken(token, 'ending', ended);
      revoke();
    },
    decodeText(record),
  );
}

/** It is there more often than not: into what is not there nothing can be put. */
function deleteOrCreateNamespace(user: TrafficUser, done: () => void): void {
  if (user.random.chance(0.4)) return user.deleteNamespace(PASSING_NAMESPACE, done);
  user.createNamespace(PASSING_NAMESPACE, false, ({ outcome }) => {
    // Now the name stands for a cached one, for ever.
    if (outcome !== 'done' || user.random.chance(0.7)) return done();
    user.createNamespace(PASSING_NAMESPACE, true, done);
  });
}

/** After the change its author tries the door: a right that was taken away must not open it any more. */
function changeAccess(user: TrafficUser, change: AccessChange, done: () => void): void {
  const { key, value } = change;
  const tryTheDoor = (): void => user.check(checkOf(change, user.random), done);
  const write = (expected: number | null | undefined): void => {
    if (value !== null) user.put(ACCESS_NAMESPACE, key, expected, tryTheDoor, value);
    else user.delete(ACCESS_NAMESPACE, key, expected ?? undefined, tryTheDoor);
  };
  if (user.random.chance(0.5)) return write(undefined);
  user.get(ACCESS_NAMESPACE, key, ({ seen }) => (seen === null ? done() : write(seen.entryRevision)));
}
