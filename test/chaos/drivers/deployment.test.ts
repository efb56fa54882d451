import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ChaosCluster } from '../cluster.js';
import type { Fault } from '../fault.js';
import { type DeploymentOptions, startDeployment } from './deployment.js';

const TOKEN = 'secret-of-the-operator';
const CUT: Fault = { kind: 'cut', from: ['store1'], to: ['store2', 'store3'] };

interface FakeState {
  leader: number | null;
  /** Members that the gateway reaches. */
  reached: number[];
  ready: boolean;
}

let folder: string;
let state: FakeState;
let servers: Server[];
let cluster: ChaosCluster | null;

/** Answers as a gateway does, as far as the driver asks. */
const gateway: RequestListener = (request, response) => {
  const isAllowed = request.headers.authorization === `Bearer ${TOKEN}`;
  const isReadyz = request.url === '/readyz';
  const member = {
    leader: state.leader,
    quorum: true,
    recovering: false,
    diverged: false,
    diskStalled: false,
  };
  const members = [1, 2, 3].map((id) => ({ id, status: state.reached.includes(id) ? member : null }));
  response.statusCode = isReadyz ? (state.ready ? 200 : 503) : isAllowed ? 200 : 401;
  response.end(JSON.stringify({ quorum: state.leader !== null, leader: state.leader, members }));
};

async function listen(server: Server): Promise<number> {
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

function fileOf(name: string, text: string): string {
  const file = join(folder, name);
  writeFileSync(file, text);
  return file;
}

async function optionsOf(): Promise<DeploymentOptions> {
  const ports = [await listen(createServer(gateway)), await listen(createServer(gateway))];
  return {
    members: 3,
    seed: 1,
    tell: () => undefined,
    gateways: ports.map((port) => `http://127.0.0.1:${port}`).join(','),
    adminTokenFile: fileOf('admin.token', `${TOKEN}\n`),
  };
}

/** Writes down how it was called. It knows cuts and kills, and fails at what names store3 first. */
function fakeCommand(): { readonly command: string; readonly calls: () => string[] } {
  const calls = join(folder, 'calls');
  const command = fileOf(
    'faults.sh',
    `#!/bin/sh
case "$1" in kinds) echo cut; echo kill; exit 0;; esac
echo "$1 $2" >> ${calls}
case "$1$2" in begin*'"parts":["store3"'*) echo "store3 is not mine" >&2; exit 3;; esac
`,
  );
  chmodSync(command, 0o700);
  return {
    command,
    calls: () => (existsSync(calls) ? readFileSync(calls, 'utf8').trim().split('\n') : []),
  };
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'quorate-test-'));
  state = { leader: 2, reached: [1, 2, 3], ready: true };
  servers = [];
  cluster = null;
});
afterEach(async () => {
  await cluster?.destroy(false);
  for (const server of servers) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
  rmSync(folder, { recursive: true });
});

describe("a user's own deployment", () => {
  it('is known by its gateways, and by what they say of the members', async () => {
    cluster = await startDeployment(await optionsOf());
    expect(cluster.members).toEqual(['store1', 'store2', 'store3']);
    expect(cluster.gateways).toEqual(['gateway1', 'gateway2']);
    expect(cluster.adminToken).toBe(TOKEN);
    expect(await cluster.leader()).toBe('store2');
    state.leader = null;
    expect(await cluster.leader()).toBeNull();
  });

  it('is ready when every gateway is and every member takes part', async () => {
    cluster = await startDeployment(await optionsOf());
    expect(await cluster.isReady()).toBe(true);
    state.reached = [1, 2];
    expect(await cluster.isReady()).toBe(false);
    state.reached = [1, 2, 3];
    state.ready = false;
    expect(await cluster.isReady()).toBe(false);
    state.ready = true;
    state.leader = null;
    expect(await cluster.isReady()).toBe(false);
  });

  it('without a fault command no fault can be made', async () => {
    cluster = await startDeployment(await optionsOf());
    expect(cluster.whyNot(CUT)).toBe('no fault can be made without a program that makes it');
    await expect(cluster.begin(CUT)).rejects.toThrow('no fault can be made');
  });

  it('the fault command is called with the fault when it begins and once when it ends', async () => {
    const { command, calls } = fakeCommand();
    cluster = await startDeployment({ ...(await optionsOf()), faultCommand: command });
    expect(cluster.whyNot(CUT)).toBeNull();
    expect(cluster.whyNot({ kind: 'pause', parts: ['store1'] })).toBe(
      'the fault command does not know "pause"',
    );
    const end = await cluster.begin(CUT);
    expect(calls()).toEqual([`begin ${JSON.stringify(CUT)}`]);
    await end();
    await end();
    expect(calls()).toEqual([`begin ${JSON.stringify(CUT)}`, `end ${JSON.stringify(CUT)}`]);
  });

  it('a fault that the command cannot make is told, and what may be half in force is ended', async () => {
    const { command, calls } = fakeCommand();
    cluster = await startDeployment({ ...(await optionsOf()), faultCommand: command });
    const fault: Fault = { kind: 'kill', parts: ['store3'] };
    await expect(cluster.begin(fault)).rejects.toThrow('store3 is not mine');
    expect(calls()).toEqual([`begin ${JSON.stringify(fault)}`, `end ${JSON.stringify(fault)}`]);
  });

  it('nobody leaves it broken: what is in force at the end is ended', async () => {
    const { command, calls } = fakeCommand();
    cluster = await startDeployment({ ...(await optionsOf()), faultCommand: command });
    await cluster.begin(CUT);
    await cluster.destroy(false);
    cluster = null;
    expect(calls().at(-1)).toBe(`end ${JSON.stringify(CUT)}`);
  });

  it('what is missing or wrong is said in a sentence', async () => {
    const options = await optionsOf();
    const start = (changes: Partial<DeploymentOptions>): Promise<ChaosCluster> =>
      startDeployment({ ...options, ...changes });
    const [first = ''] = options.gateways.split(',');
    await expect(start({ gateways: first })).rejects.toThrow('two gateways are needed');
    await expect(start({ gateways: `${first},ftp://x` })).rejects.toThrow('"ftp://x" is not the address');
    await expect(start({ gateways: `${first},http://127.0.0.1:1` })).rejects.toThrow(
      'no view of the cluster from http://127.0.0.1:1',
    );
    await expect(start({ adminTokenFile: fileOf('wrong', 'x') })).rejects.toThrow('the token is refused');
    await expect(start({ adminTokenFile: join(folder, 'none') })).rejects.toThrow('cannot be read from');
    await expect(start({ members: 5 })).rejects.toThrow('the cluster has 3 members, not 5');
    await expect(start({ faultCommand: join(folder, 'none') })).rejects.toThrow('cannot be started');
  });

  it.skipIf(!canMakeCertificates())('gateways that speak TLS are reached through a forwarder', async () => {
    const [keyFile, caFile] = [join(folder, 'key.pem'), join(folder, 'certificate.pem')];
    const names = ['-subj', '/CN=gateway', '-addext', 'subjectAltName=IP:127.0.0.1'];
    const kind = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
    execFileSync('openssl', ['req', ...kind, ...names, '-keyout', keyFile, '-out', caFile], {
      stdio: 'ignore',
    });
    const keys = { key: readFileSync(keyFile), cert: readFileSync(caFile) };
    const ports = [
      await listen(createTlsServer(keys, gateway)),
      await listen(createTlsServer(keys, gateway)),
    ];
    const options = {
      ...(await optionsOf()),
      gateways: ports.map((port) => `https://127.0.0.1:${port}`).join(','),
    };
    await expect(startDeployment(options)).rejects.toThrow('no view of the cluster');
    cluster = await startDeployment({ ...options, caFile });
    expect(await cluster.isReady()).toBe(true);
    const { host, port } = cluster.gatewayAddress('gateway2');
    expect((await fetch(`http://${host}:${port}/readyz`)).status).toBe(200);
  });
});

function canMakeCertificates(): boolean {
  try {
    execFileSync('openssl', ['version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
