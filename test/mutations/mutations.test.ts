import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { MUTATIONS } from './catalogue.js';

const TIMEOUT_MS = 1_200_000;

it(
  'each seeded bug is found within its budget',
  async () => {
    const root = fileURLToPath(new URL('../../', import.meta.url));
    const command = ['--import', './test/loader/register.mjs', 'test/mutations/run.ts', '--check'];
    const output = await new Promise<string>((resolve) => {
      execFile(process.execPath, command, { cwd: root, maxBuffer: 1 << 26 }, (_, out, errors) =>
        resolve(out + errors),
      );
    });
    expect(output).toContain(`${MUTATIONS.length} of ${MUTATIONS.length} found`);
  },
  TIMEOUT_MS,
);
