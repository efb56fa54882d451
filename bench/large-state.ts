// `npm run bench:large-state -- [--entries 1000000] [--value-bytes 256] [--json FILE]`: what a large state costs a member. Loads entries over the
// SDK's link, writes them all once more, takes a snapshot, brings a member back under load that was away for the whole of it, and restarts
// one. Three real processes on loopback with fsync on. Build first.
import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { QuorateClient } from '@quorate/client';
import { connectStore } from '@quorate/client/link';
import { DevCluster } from '../test/e2e/cluster.js';
import { until } from '../test/rest.js';

const CLIENTS = 256;
/** Go on writing while the member comes back. */
const CLIENTS_MEANWHILE = 16;
const MIB = 1024 * 1024;

const { values } = parseArgs({
  options: { entries: { type: 'string' }, 'value-bytes': { type: 'string' }, json: { type: 'string' } },
});
const entryCount = Number(values.entries ?? 1_000_000);
const valueBytes = Number(values['value-bytes'] ?? 256);
const figures: Record<string, number> = {};

function note(what: string, value: number, unit: string): void {
  figures[what] = Math.round(value);
  process.stdout.write(
    `${what.padEnd(64)} ${Math.round(value).toLocaleString('en-US').padStart(12)} ${unit}\n`,
  );
}

const cluster = await DevCluster.start({ nats: false });

function residentBytes(id: number): number {
  const status = readFileSync(`/proc/${cluster.memberPid(id)}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? 0) * 1024;
}

/** Longest stall of the member's event loop since the last call, milliseconds. */
async function stallMs(id: number): Promise<number> {
  const port = cluster.file.members.find((member) => member.id === id)?.healthPort;
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  return Number(/^nodejs_eventloop_lag_max_seconds (\S+)/m.exec(text)?.[1] ?? NaN) * 1_000;
}

function snapshotBytes(id: number): number {
  const folder = join(cluster.folder, `member-${id}`);
  const names = readdirSync(folder).filter((name) => name.startsWith('snapshot-'));
  return names.reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
}

try {
  await cluster.createNamespace('content', 'cached');
  const file = JSON.parse(readFileSync(join(cluster.folder, 'cluster.json'), 'utf8'));
  const keyFile = join(cluster.folder, 'secrets/client/client.key');
  const links = connectStore({
    cluster: file,
    role: 'client',
    key: Buffer.from(readFileSync(keyFile, 'utf8').trim(), 'hex'),
  });
  const client = new QuorateClient({ store: links.client, token: cluster.token });
  const put = async (round: number, number: number): Promise<void> => {
    const value = JSON.stringify(`${round} ${number} `.padEnd(valueBytes - 2, 'x'));
    await client.put('content', `key/${number}`, new TextEncoder().encode(value), { deadlineMs: 30_000 });
  };
  const load = async (round: number): Promise<void> => {
    let next = 0;
    const worker = async (): Promise<void> => {
      for (let number = next++; number < entryCount; number = next++) await put(round, number);
    };
    await Promise.all(Array.from({ length: CLIENTS }, worker));
  };
  const leader = await cluster.leader();
  const away = (leader % 3) + 1;
  const follower = (away % 3) + 1;
  await cluster.kill(away);
  const { term } = (await cluster.status()).members[leader - 1].status;

  for (const round of [1, 2]) {
    await stallMs(leader);
    const startedMs = performance.now();
    await load(round);
    note(
      `round ${round}: writes per second, ${CLIENTS} clients`,
      entryCount / ((performance.now() - startedMs) / 1000),
      '/s',
    );
    note(`round ${round}: leader's memory`, residentBytes(leader) / MIB, 'MiB');
    note(`round ${round}: follower's memory`, residentBytes(follower) / MIB, 'MiB');
    note(`round ${round}: longest stall of the leader's event loop`, await stallMs(leader), 'ms');
  }

  const snapshotMs = performance.now();
  await client.snapshot({ deadlineMs: 120_000 });
  note('snapshot by command: time', performance.now() - snapshotMs, 'ms');
  note('snapshot: longest stall of the event loop', await stallMs(leader), 'ms');
  note('snapshot: size', snapshotBytes(leader) / MIB, 'MiB');

  const back = new AbortController();
  let [written, failed] = [0, 0];
  const writeMeanwhile = async (): Promise<void> => {
    while (!back.signal.aborted) {
      await put(3, Math.floor(Math.random() * entryCount)).then(
        () => (written += 1),
        () => (failed += 1),
      );
    }
  };
  const backMs = performance.now();
  const writers = Array.from({ length: CLIENTS_MEANWHILE }, writeMeanwhile);
  await sleep(1_000);
  const before = residentBytes(leader);
  cluster.startMember(away);
  let highest = 0;
  await until(
    'the member is back',
    async () => {
      highest = Math.max(highest, residentBytes(leader));
      return (await cluster.memberHealth(away))?.status === 'ok';
    },
    600_000,
  );
  const seconds = (performance.now() - backMs) / 1_000;
  back.abort();
  await Promise.all(writers);
  const meanwhile = `from nothing, with ${CLIENTS_MEANWHILE} clients that write`;
  note(`${meanwhile}: time to serving`, (seconds - 1) * 1_000, 'ms');
  note(`${meanwhile}: their writes`, written / seconds, '/s');
  note(`${meanwhile}: their writes that failed`, failed, '');
  note(`${meanwhile}: leader's memory grew by`, (highest - before) / MIB, 'MiB');
  note(`${meanwhile}: longest stall of the leader's event loop`, await stallMs(leader), 'ms');
  note(`${meanwhile}: memory of the member then`, residentBytes(away) / MIB, 'MiB');
  const termNow = (await cluster.status()).members[leader - 1].status.term;
  note(`${meanwhile}: terms that ended`, termNow - term, '');

  await cluster.kill(follower);
  const restartMs = performance.now();
  cluster.startMember(follower);
  await until(
    'it serves again',
    async () => (await cluster.memberHealth(follower))?.status === 'ok',
    300_000,
  );
  note('restart to ready: time', performance.now() - restartMs, 'ms');
  note('restarted: memory', residentBytes(follower) / MIB, 'MiB');
  links.close();
} finally {
  await cluster.destroy();
  execFileSync('sync');
}
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(figures, null, 2)}\n`);
