// `npm start`: installs and compiles what is missing, then hands over to `quorate dev` with the same arguments.
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { join } from 'node:path';
import { build, install, requireNode, root } from './setup.mjs';

requireNode();
install();
build();
const dev = spawn(process.execPath, [join(root, 'apps/cli/dist/main.js'), 'dev', ...process.argv.slice(2)], {
  cwd: root,
  stdio: 'inherit',
});
// A terminal sends Ctrl-C to both processes: this one only waits. A SIGTERM to this one is passed on.
process.on('SIGINT', () => {});
process.on('SIGTERM', () => dev.kill('SIGTERM'));
// npm passes a SIGTERM only to the shell between npm and this process, and that one dies without a word: then its going is the signal.
if (process.env.npm_lifecycle_event !== undefined) {
  const shell = process.ppid;
  setInterval(() => {
    if (process.ppid !== shell) dev.kill('SIGTERM');
  }, 250).unref();
}
dev.on('exit', (code, signal) => process.exit(code ?? 128 + constants.signals[signal]));
