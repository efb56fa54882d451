import { readFileSync, readdirSync } from 'node:fs';

/** What must happen when this program ends, in whatever way: no server and no folder may outlive it. */
const endings = new Set<() => void>();
let isWatching = false;
let endOrderly: (() => void) | null = null;

/** `end` runs, at the latest, when the program ends; it must not wait for anything. The returned function forgets it. */
export function atEnd(end: () => void): () => void {
  if (!isWatching) watch();
  endings.add(end);
  return () => endings.delete(end);
}

/** The first SIGINT or SIGTERM calls `end` instead of ending the program, so that it can end orderly; the next one ends it at once. */
export function onInterrupt(end: () => void): void {
  if (!isWatching) watch();
  endOrderly = end;
}

/** Sends a signal to a process that this program started; nothing happens when it is gone. */
export function signalProcess(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended already.
  }
}

/** Ends the processes that this program started itself and whose command or environment names this text, such as a folder. */
export function killChildrenOf(text: string): void {
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    if (!Number.isInteger(pid)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'latin1');
      const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
      if (parent !== process.pid) continue;
      const command = readFileSync(`/proc/${name}/cmdline`, 'utf8');
      const environment = readFileSync(`/proc/${name}/environ`, 'utf8');
      if (command.includes(text) || environment.includes(text)) process.kill(pid, 'SIGKILL');
    } catch {
      // It has ended meanwhile.
    }
  }
}

function watch(): void {
  isWatching = true;
  process.on('exit', () => {
    for (const end of endings) {
      try {
        end();
      } catch {
        // The others must have their turn.
      }
    }
  });
  process.on('SIGINT', () => interrupted(130));
  process.on('SIGTERM', () => interrupted(143));
}

function interrupted(exitCode: number): void {
  const end = endOrderly;
  endOrderly = null;
  if (end === null) process.exit(exitCode);
  end();
}
