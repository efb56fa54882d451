// Preloaded (`node --import`) into every process that `quorate dev` starts. Its standard input is a pipe that dev
// holds: when dev dies, even by SIGKILL, the pipe closes and the process ends in its ordinary way. So nothing that
// dev started can outlive it, and the programs themselves need to know nothing about it.
const STOP_TIMEOUT_MS = 10_000;

process.stdin.once('close', () => {
  process.kill(process.pid, 'SIGTERM');
  setTimeout(() => process.exit(1), STOP_TIMEOUT_MS).unref();
});
process.stdin.once('error', () => undefined);
process.stdin.resume();
// Watching must not keep alive a process that is done.
if ('unref' in process.stdin && typeof process.stdin.unref === 'function') process.stdin.unref();
