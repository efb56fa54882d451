import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseClusterFile, type ClusterFile } from '@quorate/api';
import { ConfigurationError, type Environment } from './environment.js';

/** What the gateway reads of the cluster's secrets. The admin token itself is not among them: only callers bring it. */
export interface Secrets {
  /** 32 bytes: proves the role of a gateway in the link's handshake. */
  readonly gatewayKey: Uint8Array;
  /** SHA-256 of the admin token, in hex. */
  readonly adminTokenHash: string;
  /** The HMAC key of Consistency-Tokens. */
  readonly tokenKey: Uint8Array;
  /** Certificate chain and key of the REST API, PEM. Null: plain HTTP. */
  readonly tls: { readonly cert: string; readonly key: string } | null;
  /** Null: NATS needs no password, or there is no NATS. */
  readonly natsPassword: string | null;
}

/** Injection tokens. */
export const SECRETS = Symbol('Secrets');
export const CLUSTER_FILE = Symbol('ClusterFile');

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new ConfigurationError(
      `${path} cannot be read: ${error instanceof Error ? error.message : 'unknown'}.`,
    );
  }
}

/** A file of exactly 32 bytes in hex, with or without a line end. */
function readHex(path: string): string {
  const text = read(path).trim();
  if (!/^[0-9a-f]{64}$/.test(text)) {
    throw new ConfigurationError(`${path} must hold 64 lowercase hex digits.`);
  }
  return text;
}

function readTls(environment: Environment): Secrets['tls'] {
  const { QUORATE_TLS_CERTIFICATE_FILE: certificate, QUORATE_TLS_KEY_FILE: key } = environment;
  return certificate === undefined || key === undefined ? null : { cert: read(certificate), key: read(key) };
}

/** Reads the secrets that the gateway needs. Throws ConfigurationError, which names the file and never its content. */
export function readSecrets(environment: Environment): Secrets {
  const directory = environment.QUORATE_SECRETS_DIR;
  const passwordFile = environment.QUORATE_NATS_PASSWORD_FILE;
  return {
    gatewayKey: Buffer.from(readHex(join(directory, 'gateway.key')), 'hex'),
    adminTokenHash: readHex(join(directory, 'admin.token.sha256')),
    tokenKey: Buffer.from(readHex(join(directory, 'token.key')), 'hex'),
    tls: readTls(environment),
    natsPassword: passwordFile === undefined ? null : read(passwordFile).trim(),
  };
}

/** Reads cluster.json. Throws ConfigurationError. */
export function readClusterFile(environment: Environment): ClusterFile {
  const path = environment.QUORATE_CLUSTER_FILE;
  const text = read(path);
  try {
    return parseClusterFile(text);
  } catch (error) {
    throw new ConfigurationError(`${path}: ${error instanceof Error ? error.message : 'not valid'}`);
  }
}
