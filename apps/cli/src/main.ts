#!/usr/bin/env node
import { reportOf } from './command-error.js';
import { buildProgram } from './program.js';

/** Aborted by Ctrl-C, by a polite kill, and when the terminal goes away. */
function stopSignal(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => controller.abort());
  return controller.signal;
}

const program = buildProgram({
  print: (line) => void process.stdout.write(`${line}\n`),
  setExitCode: (code) => {
    process.exitCode = code;
  },
  stopSignal,
});

try {
  await program.parseAsync();
} catch (error) {
  const report = reportOf(error);
  if (report === null) throw error;
  process.stderr.write(`quorate: ${report.message}\n`);
  process.exitCode = report.exitCode;
}
