/** The log on disk is not what was made durable, or not a log of this format. Nothing was changed; a person must decide (P17). */
export class WalDamagedError extends Error {
  override readonly name = 'WalDamagedError';
  constructor(
    /** The file's name within the folder. */
    readonly file: string,
    /** Byte offset of the first thing that is wrong. */
    readonly offset: number,
    /** What is known about it. */
    readonly reason: string,
  ) {
    super(`write-ahead log damaged: ${file} at byte ${offset}: ${reason}`);
  }
}

/** The folder holds no log: the member was never formatted, or its disk was wiped (P32). */
export class WalNotFormattedError extends Error {
  override readonly name = 'WalNotFormattedError';
  constructor(readonly directory: string) {
    super(`no write-ahead log in ${directory}: never formatted, or wiped`);
  }
}

/** `formatWal` refuses a folder that holds anything: it never overwrites a member. */
export class WalNotEmptyError extends Error {
  override readonly name = 'WalNotEmptyError';
  constructor(
    readonly directory: string,
    readonly found: string,
  ) {
    super(`refusing to format ${directory}: it holds ${found}`);
  }
}

/** Another running process holds the folder (P33). */
export class WalLockedError extends Error {
  override readonly name = 'WalLockedError';
  constructor(readonly directory: string) {
    super(`${directory} is in use by another process`);
  }
}

/** A write or fsync failed. The log takes nothing more until the process has started anew and read the disk (P20). */
export class WalFailedError extends Error {
  override readonly name = 'WalFailedError';
  constructor(operation: string, cause: unknown) {
    super(`write-ahead log failed: ${operation}: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    });
  }
}
