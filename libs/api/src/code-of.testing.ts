import { QuorateError } from './errors.js';

/** The code of the error that this throws, or `no error`. Anything but a QuorateError goes on. */
export function codeOf(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (error instanceof QuorateError) return error.code;
    throw error;
  }
  return 'no error';
}
