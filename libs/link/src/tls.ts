import type { LinkRole } from '@quorate/api';
import type { ConnectionOptions, TlsOptions } from 'node:tls';
import { tlsKeyOf } from './handshake.js';

/**
 * One suite: ephemeral Diffie-Hellman (a key that leaks later opens no recorded traffic), authenticated by the role's
 * key, with an AEAD. It is in the OpenSSL of Node 20, 22 and 24; no certificates are involved, so none can expire.
 */
const SUITE = {
  minVersion: 'TLSv1.2',
  maxVersion: 'TLSv1.2',
  ciphers: 'ECDHE-PSK-CHACHA20-POLY1305',
} as const;

/** The accepting end. `onIdentity` hears which role's key the peer named, before it has proved it. */
export function serverTlsOptions(
  keys: Readonly<Partial<Record<LinkRole, Uint8Array>>>,
  onIdentity: (socket: object, role: LinkRole) => void,
): TlsOptions {
  return {
    ...SUITE,
    pskCallback: (socket, identity) => {
      if (identity !== 'member' && identity !== 'gateway' && identity !== 'client') return null;
      const key = keys[identity];
      if (key === undefined) return null;
      onIdentity(socket, identity);
      return tlsKeyOf(key);
    },
  };
}

/** The dialling end. A server without the key cannot finish the TLS handshake, so there is no certificate to check. */
export function clientTlsOptions(role: LinkRole, key: Uint8Array): ConnectionOptions {
  const psk = tlsKeyOf(key);
  return { ...SUITE, pskCallback: () => ({ psk, identity: role }), checkServerIdentity: () => undefined };
}
