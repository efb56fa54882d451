// `npm test`: unit tests, exhaustive searches, the seeded cluster, seeded bugs and the end-to-end tests, with all their set-up.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { build, install, requireNode, run } from './setup.mjs';

function findNatsServer() {
  if (process.env.NATS_SERVER) return process.env.NATS_SERVER;
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/bin'];
  return folders.map((folder) => join(folder, 'nats-server')).find((path) => existsSync(path));
}

/** A real nats-server: from PATH, else from Debian's packages when this is root on Debian. */
function provideNatsServer() {
  const found = findNatsServer();
  if (found) return found;
  if (process.getuid?.() !== 0 || !existsSync('/etc/debian_version')) return undefined;
  console.log('installing nats-server (apt-get) ...');
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  spawnSync('apt-get', ['update', '-qq'], { stdio: 'ignore', env });
  spawnSync('apt-get', ['install', '-y', '-qq', '--no-install-recommends', 'nats-server'], {
    stdio: 'ignore',
    env,
  });
  return findNatsServer();
}

requireNode();
install();
build();
const natsServer = provideNatsServer();
if (natsServer === undefined) {
  const reason = 'no nats-server in PATH, and it could not be installed (that needs root on Debian)';
  if (process.env.CI === 'true') {
    console.error(`In CI every test must run: ${reason}.`);
    process.exit(1);
  }
  console.log(`tests with NATS are skipped: ${reason}`);
}
const projects = ['unit', 'exhaustive', 'simulation', 'e2e'].flatMap((name) => ['--project', name]);
run(process.execPath, ['node_modules/vitest/vitest.mjs', 'run', ...projects, ...process.argv.slice(2)], {
  env: { ...process.env, ...(natsServer ? { NATS_SERVER: natsServer } : {}) },
});
