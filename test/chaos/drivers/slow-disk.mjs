// Preloaded into members: makes their disk slow or hang, as the file CHAOS_DISK says ({"syncMs": 0, "hangs": false}) at each moment. It
// stands before the calls that the log makes (libs/wal/src/node-disk.ts): syncs in the background, and writes and syncs that block the
// process. A frozen file system (fsfreeze) shows a member the same, but needs root, and a process that sleeps in it cannot even be killed
// until it is thawed, so no other fault could overlap.
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

const LOOK_EVERY_MS = 10;
const { readFileSync } = fs;
const path = process.env.CHAOS_DISK ?? '';
const cell = new Int32Array(new SharedArrayBuffer(4));
let known = { syncMs: 0, hangs: false };
let lookedAtMs = Number.NEGATIVE_INFINITY;

function orders() {
  const nowMs = performance.now();
  if (nowMs - lookedAtMs < LOOK_EVERY_MS) return known;
  lookedAtMs = nowMs;
  try {
    known = JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    // Not there, or being replaced: what was known goes on.
  }
  return known;
}

/** @param {number} ms */
function block(ms) {
  if (ms > 0) Atomics.wait(cell, 0, 0, ms);
}

function blockWhileHanging() {
  while (orders().hangs) block(LOOK_EVERY_MS);
}

/** @param {() => void} done */
function whenItMoves(done) {
  if (orders().hangs) setTimeout(whenItMoves, LOOK_EVERY_MS, done);
  else done();
}

for (const name of ['fdatasync', 'fsync']) {
  const sync = fs[name];
  fs[name] = (descriptor, callback) => {
    const { syncMs } = orders();
    const begin = () => whenItMoves(() => sync(descriptor, callback));
    if (syncMs > 0) setTimeout(begin, syncMs);
    else begin();
  };
  const syncNow = fs[`${name}Sync`];
  fs[`${name}Sync`] = (descriptor) => {
    block(orders().syncMs);
    blockWhileHanging();
    syncNow(descriptor);
  };
}
const STDERR = 2;
for (const name of ['writeSync', 'writevSync']) {
  const write = fs[name];
  fs[name] = (descriptor, ...parameters) => {
    // What it says to its log goes to another disk.
    if (descriptor > STDERR) blockWhileHanging();
    return write(descriptor, ...parameters);
  };
}
// `import { fdatasync } from 'node:fs'` sees these from now on.
syncBuiltinESMExports();
