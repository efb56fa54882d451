import { spawn } from 'node:child_process';

const TIMEOUT_MS = 60_000;
const ERROR_TEXT_MAX = 400;

export interface CommandOptions {
  /** Written to its standard input; without it the input is empty. */
  readonly input?: string;
  readonly cwd?: string;
  readonly environment?: NodeJS.ProcessEnv;
  readonly timeoutMs?: number;
}

/**
 * Runs a program to its end, without holding up this one, in which clients may be waiting. Resolves with what it wrote; rejects when it cannot
 * be started, fails or takes too long, with the end of what it had to say about that.
 */
export function runCommand(
  command: string,
  parameters: readonly string[],
  options: CommandOptions = {},
): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, [...parameters], {
      stdio: ['pipe', 'pipe', 'pipe'],
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      ...(options.environment === undefined ? {} : { env: options.environment }),
    });
    const output: Buffer[] = [];
    const errors: Buffer[] = [];
    const timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      child.kill('SIGKILL');
    }, timeoutMs);
    child.stdout.on('data', (chunk: Buffer) => output.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => errors.push(chunk));
    // It may end before it has read all.
    child.stdin.on('error', () => undefined);
    child.stdin.end(options.input ?? '');
    child.once('error', (error) => {
      clearTimeout(timer);
      reject(new Error(`${command} cannot be started: ${error.message}`));
    });
    child.once('close', (code) => {
      clearTimeout(timer);
      if (code === 0) return resolve(Buffer.concat(output).toString('utf8'));
      const said = Buffer.concat(errors).toString('utf8').trim().slice(-ERROR_TEXT_MAX);
      const why = isLate ? `not done within ${timeoutMs} ms` : `exit ${code ?? 'by a signal'}`;
      reject(new Error(`${[command, ...parameters].join(' ')}: ${why}${said === '' ? '' : `: ${said}`}`));
    });
  });
}

/** Why it failed, in a line; null: it did not. */
export async function failureOf(
  command: string,
  parameters: readonly string[],
  options?: CommandOptions,
): Promise<string | null> {
  try {
    await runCommand(command, parameters, options);
    return null;
  } catch (error) {
    return (error instanceof Error ? error.message : String(error)).replaceAll('\n', ' ');
  }
}
