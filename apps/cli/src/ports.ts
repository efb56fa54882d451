import { createServer } from 'node:net';
import { CommandError } from './command-error.js';

export interface NeededPort {
  readonly port: number;
  readonly host: string;
  /** What wants it, in words: "member 1's link". */
  readonly purpose: string;
  /** What moves it: an option, and with what. */
  readonly option: string;
}

/**
 * Binds every port for a moment, so that a busy one is one clear sentence before anything was started, not a crash of
 * the third process. A port taken in between is still reported by the process that wants it.
 */
export async function requireFreePorts(ports: readonly NeededPort[]): Promise<void> {
  for (const needed of ports) {
    const code = await bindError(needed.host, needed.port);
    if (code === null) continue;
    const reason = code === 'EADDRINUSE' ? 'is in use' : `cannot be opened (${code})`;
    throw new CommandError(
      `Port ${needed.port} (${needed.purpose}) on ${needed.host} ${reason}: ` +
        `stop what uses it, or choose another with ${needed.option}. Nothing was started.`,
    );
  }
}

function bindError(host: string, port: number): Promise<string | null> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(null)));
  });
}
