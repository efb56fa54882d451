// `npm start`: installs and compiles what is missing, then hands over to `quorate dev` with the same arguments.
import { spawn } from 'node:child_process';
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
dev.on('exit', (code, signal) => process.exit(code ?? (signal === null ? 1 : 0)));
