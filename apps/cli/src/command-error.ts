import { QuorateError } from '@quorate/api';

/** 0: done. 1: nothing happened. 2: a write's outcome is unknown. 3: a check was answered with "denied". */
export type ExitCode = 0 | 1 | 2 | 3;

/** Raised for everything that a user can put right: the message is the whole output. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  constructor(
    message: string,
    readonly exitCode: ExitCode = 1,
  ) {
    super(message);
  }
}

/** What to print for an error, and the exit code. Null: it is a defect, to be shown with its stack. */
export function reportOf(error: unknown): { readonly message: string; readonly exitCode: ExitCode } | null {
  if (error instanceof CommandError) return error;
  if (error instanceof QuorateError) {
    return { message: error.message, exitCode: error.effect === 'unknown' ? 2 : 1 };
  }
  return null;
}
