import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { errorText } from './cluster-file.js';
import { StartError } from './configuration.js';

/** The secrets of a member. All but the hash are 32 random bytes. */
export interface MemberSecrets {
  /** Prove the role of the other end of a link. */
  readonly memberKey: Uint8Array;
  readonly gatewayKey: Uint8Array;
  readonly clientKey: Uint8Array;
  /** Signs the feed. Gateways are told it over the link. */
  readonly feedKey: Uint8Array;
  /** SHA-256 of the admin token, in hex: the token itself is never here. */
  readonly adminTokenHash: string;
}

const KEY_HEX = /^[0-9a-f]{64}$/;

/** Reads the secrets of a member from its folder. Throws StartError. */
export function readSecrets(directory: string): MemberSecrets {
  return {
    memberKey: readKey(directory, 'member.key'),
    gatewayKey: readKey(directory, 'gateway.key'),
    clientKey: readKey(directory, 'client.key'),
    feedKey: readKey(directory, 'feed.key'),
    adminTokenHash: readHex(directory, 'admin.token.sha256'),
  };
}

/** Reads a password from a file of one line. Throws StartError. */
export function readPassword(path: string): string {
  const password = readText(path).trim();
  if (password === '') throw new StartError(`The password file ${path} is empty.`);
  return password;
}

function readKey(directory: string, name: string): Uint8Array {
  return Buffer.from(readHex(directory, name), 'hex');
}

function readHex(directory: string, name: string): string {
  const path = join(directory, name);
  const value = readText(path).trim();
  if (!KEY_HEX.test(value)) throw new StartError(`${path} must hold 64 lowercase hex digits.`);
  return value;
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new StartError(`The secret ${path} cannot be read: ${errorText(error)}.`);
  }
}
