import { z } from 'zod';

/** What the gateway was told by its environment. The only place that names the variables. */
const wholeNumber = (name: string, min: number, max: number) =>
  z
    .string()
    .regex(/^\d{1,15}$/, `${name} must be a whole number between ${min} and ${max}`)
    .transform(Number)
    .refine(
      (value) => value >= min && value <= max,
      `${name} must be a whole number between ${min} and ${max}`,
    );

const text = (name: string) => z.string().min(1, `${name} must not be empty`);

export const LOG_LEVELS = ['error', 'warn', 'log', 'debug'] as const;

/** Does this address never leave the machine? */
export function isLoopback(host: string): boolean {
  return /^(127\.|::1$|localhost$)/.test(host);
}

const CACHE_BYTES_MAX_DEFAULT = 64 * 1024 * 1024;

export const environmentSchema = z
  .object({
    QUORATE_CLUSTER_FILE: text('QUORATE_CLUSTER_FILE').default('.quorate/cluster.json'),
    QUORATE_SECRETS_DIR: text('QUORATE_SECRETS_DIR').default('.quorate/secrets'),
    QUORATE_HOST: text('QUORATE_HOST').default('127.0.0.1'),
    QUORATE_PORT: wholeNumber('QUORATE_PORT', 0, 65_535).default(8080),
    QUORATE_NATS_URL: z
      .string()
      .regex(/^(nats|tls):\/\/[^\s/@]+$/, 'QUORATE_NATS_URL must look like nats://host:port')
      .optional(),
    QUORATE_NATS_USER: text('QUORATE_NATS_USER').optional(),
    QUORATE_NATS_PASSWORD_FILE: text('QUORATE_NATS_PASSWORD_FILE').optional(),
    QUORATE_PLAINTEXT: z
      .enum(['true', 'false'], 'QUORATE_PLAINTEXT must be true or false')
      .default('false')
      .transform((value) => value === 'true'),
    QUORATE_TLS_CERTIFICATE_FILE: text('QUORATE_TLS_CERTIFICATE_FILE').optional(),
    QUORATE_TLS_KEY_FILE: text('QUORATE_TLS_KEY_FILE').optional(),
    QUORATE_HTTP_PLAINTEXT: z
      .enum(['true', 'false'], 'QUORATE_HTTP_PLAINTEXT must be true or false')
      .default('false')
      .transform((value) => value === 'true'),
    QUORATE_CACHE_BYTES_MAX: wholeNumber('QUORATE_CACHE_BYTES_MAX', 1024 * 1024, 64 * 1024 ** 3).default(
      CACHE_BYTES_MAX_DEFAULT,
    ),
    QUORATE_LAST_KNOWN_GOOD_FILE: text('QUORATE_LAST_KNOWN_GOOD_FILE').optional(),
    QUORATE_LOG_LEVEL: z
      .enum(LOG_LEVELS, `QUORATE_LOG_LEVEL must be one of ${LOG_LEVELS.join(', ')}`)
      .default('log'),
  })
  .refine(
    (value) => (value.QUORATE_NATS_USER === undefined) === (value.QUORATE_NATS_PASSWORD_FILE === undefined),
    'QUORATE_NATS_USER and QUORATE_NATS_PASSWORD_FILE belong together: set both or neither',
  )
  .refine(
    (value) =>
      (value.QUORATE_TLS_CERTIFICATE_FILE === undefined) === (value.QUORATE_TLS_KEY_FILE === undefined),
    'QUORATE_TLS_CERTIFICATE_FILE and QUORATE_TLS_KEY_FILE belong together: set both or neither',
  )
  // Bearer tokens travel with every request: beyond this machine they are encrypted, or somebody decided otherwise.
  .refine(
    (value) =>
      isLoopback(value.QUORATE_HOST) ||
      value.QUORATE_TLS_CERTIFICATE_FILE !== undefined ||
      value.QUORATE_HTTP_PLAINTEXT,
    'QUORATE_HOST is not a loopback address: set QUORATE_TLS_CERTIFICATE_FILE and QUORATE_TLS_KEY_FILE, or ' +
      'QUORATE_HTTP_PLAINTEXT=true where something else encrypts (a proxy, a private network)',
  );

export type Environment = z.infer<typeof environmentSchema>;

/** A configuration that cannot be started with. The message is one sentence for the operator. */
export class ConfigurationError extends Error {
  override readonly name = 'ConfigurationError';
}

const KNOWN_VARIABLES = Object.keys(environmentSchema.shape);

/**
 * Reads the `QUORATE_*` variables. A name that the gateway does not know is refused: a misspelt variable would
 * otherwise be a setting that silently does nothing. Throws ConfigurationError.
 */
export function parseEnvironment(environment: Readonly<Record<string, string | undefined>>): Environment {
  const own: Record<string, string> = {};
  for (const [name, value] of Object.entries(environment)) {
    if (!name.startsWith('QUORATE_') || value === undefined) {
      continue;
    }
    if (!KNOWN_VARIABLES.includes(name)) {
      throw new ConfigurationError(
        `${name} is not a variable of the gateway; it knows ${KNOWN_VARIABLES.join(', ')}.`,
      );
    }
    own[name] = value;
  }
  const parsed = environmentSchema.safeParse(own);
  if (!parsed.success) {
    throw new ConfigurationError(`${parsed.error.issues[0]?.message ?? 'The configuration is wrong'}.`);
  }
  return parsed.data;
}
