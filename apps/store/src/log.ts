import type { LoggerService } from '@nestjs/common';
import type { LogLevel } from './configuration/configuration.js';

const SEVERITY: Record<LogLevel, number> = { error: 0, warn: 1, log: 2, debug: 3 };

/** Facts beside a message. */
export type LogFields = Readonly<Record<string, string | number | boolean | null>>;

/**
 * One JSON object a line, on standard output. Whoever writes here reports a change of state in plain words; requests
 * are counted (metrics), not logged.
 */
export class Log {
  constructor(
    private readonly level: LogLevel,
    private readonly member: number,
    private readonly write: (line: string) => void = (line) => void process.stdout.write(line),
  ) {}

  error(message: string, fields: LogFields = {}): void {
    this.#line('error', message, fields);
  }
  warn(message: string, fields: LogFields = {}): void {
    this.#line('warn', message, fields);
  }
  info(message: string, fields: LogFields = {}): void {
    this.#line('log', message, fields);
  }
  debug(message: string, fields: LogFields = {}): void {
    this.#line('debug', message, fields);
  }

  /** Nest's own messages: its warnings and errors are kept, its account of the start is debug output. */
  forNest(): LoggerService {
    const words = (message: unknown): string =>
      typeof message === 'string' ? message : JSON.stringify(message);
    return {
      log: (message: unknown) => this.debug(words(message)),
      debug: (message: unknown) => this.debug(words(message)),
      verbose: (message: unknown) => this.debug(words(message)),
      warn: (message: unknown) => this.warn(words(message)),
      error: (message: unknown) => this.error(message instanceof Error ? message.message : words(message)),
      fatal: (message: unknown) => this.error(message instanceof Error ? message.message : words(message)),
    };
  }

  #line(level: LogLevel, message: string, fields: LogFields): void {
    if (SEVERITY[level] > SEVERITY[this.level]) return;
    const line = { time: new Date().toISOString(), level, member: this.member, message, ...fields };
    this.write(`${JSON.stringify(line)}\n`);
  }
}
