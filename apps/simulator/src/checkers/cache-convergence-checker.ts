import type { Chronicle } from '../chronicle.js';
import { describeRead, type CacheReadRecord, type SimulatedGateway } from '../gateway.js';
import { CACHED_NAMESPACE, PASSING_NAMESPACE } from '../namespaces.js';
import type { World } from '../world.js';

const CONVERGES_WITHIN_MS = 20_000;

/**
 * Caches converge: in the end, with nobody writing any more, each shows of every key what the store has. Lets
 * the world go on.
 */
export function checkCacheConvergence(
  world: World,
  gateway: SimulatedGateway,
  chronicle: Chronicle,
  keyCount: number,
): void {
  const namespaces = [CACHED_NAMESPACE, PASSING_NAMESPACE].filter((name) => chronicle.exists(name, Infinity));
  const keys = Array.from({ length: keyCount }, (_, index) => `key-${index}`);
  const places = namespaces.flatMap((namespace) => keys.map((key) => ({ namespace, key })));
  for (const { namespace, key } of places) {
    const expected = chronicle.latest(namespace, key, Infinity)?.value ?? null;
    const told: CacheReadRecord[] = [];
    const isShown = (): boolean =>
      told.some(({ outcome, value }) => outcome.type === 'hit' && value === expected);
    const limitMs = world.nowMs + CONVERGES_WITHIN_MS;
    while (world.nowMs < limitMs && !isShown()) {
      gateway.read(namespace, key, { type: 'eventual' }, null, (read) => told.push(read));
      world.runUntil(world.nowMs + 200);
    }
    if (isShown()) continue;
    const last = told.at(-1);
    world.violation(
      'caches converge',
      `${gateway.host.name}: ${last === undefined ? 'no answer' : describeRead(last)}; the store has ${expected ?? 'nothing'}`,
    );
  }
}
