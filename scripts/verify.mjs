// `npm run verify`: the read-only gate that every commit passes. It changes nothing but build output. `--static`: without the unit tests,
// for whoever runs all tests anyway.
import { spawnSync } from 'node:child_process';
import { install, requireNode, root } from './setup.mjs';

const node = process.execPath;
const allSteps = [
  ['format', node, ['node_modules/oxfmt/bin/oxfmt', '--check', '.']],
  ['types', node, ['node_modules/typescript/bin/tsc', '-b']],
  // With type information, which comes from the build.
  ['lint', node, ['node_modules/oxlint/bin/oxlint', '--type-aware', '--deny-warnings', '.']],
  ['types of tests', node, ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.tests.json']],
  ['dead code', node, ['node_modules/knip/bin/knip.js', '--no-progress']],
  ['lock file', 'npm', ['ci', '--dry-run', '--loglevel=error']],
  [
    'architecture, docs, unit',
    node,
    ['node_modules/vitest/vitest.mjs', 'run', '--project', 'unit', '--reporter', 'default'],
  ],
];

const steps = process.argv.includes('--static')
  ? allSteps.filter(([name]) => !name.includes('unit'))
  : allSteps;

requireNode();
install();
let failed = 0;
for (const [name, command, args] of steps) {
  const started = Date.now();
  const { status, stdout, stderr } = spawnSync(command, args, {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  const seconds = ((Date.now() - started) / 1000).toFixed(1);
  console.log(`${status === 0 ? 'ok  ' : 'FAIL'} ${name} (${seconds} s)`);
  if (status === 0) continue;
  failed += 1;
  process.stdout.write(`${stdout}${stderr}`);
}
console.log(failed === 0 ? 'verified' : `${failed} of ${steps.length} steps failed`);
process.exit(failed === 0 ? 0 : 1);
