#!/usr/bin/env node
import { reportOf } from './command-error.js';
import { buildProgram } from './program.js';

// `quorate ... | head`: whoever reads has seen enough. What goes on ends in order, the rest ends by itself.
const readerGone = new AbortController();
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  readerGone.abort();
});

/** Aborted by Ctrl-C, by a polite kill, and when the terminal or the reader of the output goes away. */
function stopSignal(): AbortSignal {
  const stopped = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stopped.abort());
  return AbortSignal.any([stopped.signal, readerGone.signal]);
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
