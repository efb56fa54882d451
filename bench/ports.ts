import { isFree } from '../test/e2e/cluster.js';

/** Below the range of development clusters, and below that from which the system numbers outgoing connections. */
const [LOWEST, HIGHEST] = [10_000, 19_999];
const given = new Set<number>();

/** A port of loopback that is free now, and not given twice. */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    const port = LOWEST + Math.floor(Math.random() * (HIGHEST - LOWEST + 1));
    if (given.has(port) || !(await isFree(port))) continue;
    given.add(port);
    return port;
  }
  throw new Error('no free port');
}
