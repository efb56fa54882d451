import { z } from 'zod';

/** A start that cannot work. The message is a sentence for the operator, and says what to do. */
export class StartError extends Error {
  override readonly name = 'StartError';
}

const text = (name: string) => z.string(`${name} must be set`).min(1, `${name} must not be empty`);

export const LOG_LEVELS = ['error', 'warn', 'log', 'debug'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

const variables = z
  .object({
    QUORATE_MEMBER: z
      .string('QUORATE_MEMBER must be set')
      .regex(/^[1-9]\d{0,4}$/, 'QUORATE_MEMBER must be the number of this member, 1 to 65535')
      .transform(Number)
      .refine((value) => value <= 65_535, 'QUORATE_MEMBER must be the number of this member, 1 to 65535'),
    QUORATE_CLUSTER_FILE: text('QUORATE_CLUSTER_FILE'),
    QUORATE_DATA_DIR: text('QUORATE_DATA_DIR'),
    QUORATE_SECRETS_DIR: text('QUORATE_SECRETS_DIR'),
    QUORATE_HOST: text('QUORATE_HOST').default('127.0.0.1'),
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
    QUORATE_LOG_LEVEL: z
      .enum(LOG_LEVELS, `QUORATE_LOG_LEVEL must be one of ${LOG_LEVELS.join(', ')}`)
      .default('log'),
  })
  .refine(
    (value) => (value.QUORATE_NATS_USER === undefined) === (value.QUORATE_NATS_PASSWORD_FILE === undefined),
    'QUORATE_NATS_USER and QUORATE_NATS_PASSWORD_FILE belong together: set both or neither',
  );

const KNOWN_VARIABLES = Object.keys(variables.shape);

/** Where a NATS server is, and as whom to talk to it. */
export interface NatsConfiguration {
  readonly url: string;
  readonly login: { readonly user: string; readonly passwordFile: string } | null;
}

/** What one member was told by its environment. */
export interface StoreConfiguration {
  readonly member: number;
  readonly clusterFile: string;
  readonly dataDirectory: string;
  readonly secretsDirectory: string;
  /** The address that the link and the health port listen on. */
  readonly host: string;
  /** Null: the feed runs over the link alone. */
  readonly nats: NatsConfiguration | null;
  /** Allows links without TLS to other machines. */
  readonly plaintext: boolean;
  readonly logLevel: LogLevel;
}

/**
 * Reads the `QUORATE_*` variables. A name that a member does not know is refused: a misspelt variable would otherwise
 * be a setting that silently does nothing. Throws StartError.
 */
export function parseConfiguration(
  environment: Readonly<Record<string, string | undefined>>,
): StoreConfiguration {
  const own: Record<string, string> = {};
  for (const [name, value] of Object.entries(environment)) {
    if (!name.startsWith('QUORATE_') || value === undefined) continue;
    if (!KNOWN_VARIABLES.includes(name)) {
      throw new StartError(`${name} is not a variable of a member; it knows ${KNOWN_VARIABLES.join(', ')}.`);
    }
    own[name] = value;
  }
  const parsed = variables.safeParse(own);
  if (!parsed.success)
    throw new StartError(`${parsed.error.issues[0]?.message ?? 'The configuration is wrong'}.`);
  const { data } = parsed;
  const user = data.QUORATE_NATS_USER;
  const passwordFile = data.QUORATE_NATS_PASSWORD_FILE;
  const login = user === undefined || passwordFile === undefined ? null : { user, passwordFile };
  return {
    member: data.QUORATE_MEMBER,
    clusterFile: data.QUORATE_CLUSTER_FILE,
    dataDirectory: data.QUORATE_DATA_DIR,
    secretsDirectory: data.QUORATE_SECRETS_DIR,
    host: data.QUORATE_HOST,
    nats: data.QUORATE_NATS_URL === undefined ? null : { url: data.QUORATE_NATS_URL, login },
    plaintext: data.QUORATE_PLAINTEXT,
    logLevel: data.QUORATE_LOG_LEVEL,
  };
}
