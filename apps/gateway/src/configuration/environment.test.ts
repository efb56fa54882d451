import { describe, expect, it } from 'vitest';
import { ConfigurationError, parseEnvironment } from './environment.js';

describe('parseEnvironment', () => {
  it('has a default for everything that can have one', () => {
    expect(parseEnvironment({ PATH: '/bin' })).toMatchObject({
      QUORATE_CLUSTER_FILE: '.quorate/cluster.json',
      QUORATE_HOST: '127.0.0.1',
      QUORATE_PORT: 8080,
      QUORATE_PLAINTEXT: false,
      QUORATE_LOG_LEVEL: 'log',
    });
  });

  it('refuses a variable that it does not know, by name, in one sentence', () => {
    const start = (): unknown => parseEnvironment({ QUORATE_PROT: '8080' });
    expect(start).toThrow(ConfigurationError);
    expect(start).toThrow(
      /^QUORATE_PROT is not a variable of the gateway; it knows QUORATE_CLUSTER_FILE,[^.]*\.$/,
    );
  });

  it.each([
    [{ QUORATE_PORT: '80a' }, 'QUORATE_PORT'],
    [{ QUORATE_PORT: '65536' }, 'QUORATE_PORT'],
    [{ QUORATE_PORT: '-1' }, 'QUORATE_PORT'],
    [{ QUORATE_HOST: '' }, 'QUORATE_HOST'],
    [{ QUORATE_PLAINTEXT: 'yes' }, 'QUORATE_PLAINTEXT'],
    [{ QUORATE_CACHE_BYTES_MAX: '12' }, 'QUORATE_CACHE_BYTES_MAX'],
    [{ QUORATE_LOG_LEVEL: 'loud' }, 'QUORATE_LOG_LEVEL'],
    [{ QUORATE_NATS_URL: 'http://localhost' }, 'QUORATE_NATS_URL'],
    [{ QUORATE_NATS_URL: 'nats://user:password@localhost:4222' }, 'QUORATE_NATS_URL'],
    [{ QUORATE_NATS_USER: 'gateway' }, 'QUORATE_NATS_PASSWORD_FILE'],
    [{ QUORATE_TLS_KEY_FILE: 'key.pem' }, 'QUORATE_TLS_CERTIFICATE_FILE'],
    [{ QUORATE_HOST: '0.0.0.0' }, 'QUORATE_HTTP_PLAINTEXT'],
    [{ QUORATE_HOST: '192.0.2.1' }, 'QUORATE_TLS_CERTIFICATE_FILE'],
  ])('refuses %j', (variables, name) => {
    const start = (): unknown => parseEnvironment(variables);
    expect(start).toThrow(ConfigurationError);
    expect(start).toThrow(name);
  });

  it.each([
    { QUORATE_HOST: '0.0.0.0', QUORATE_HTTP_PLAINTEXT: 'true' },
    { QUORATE_HOST: '0.0.0.0', QUORATE_TLS_CERTIFICATE_FILE: 'c.pem', QUORATE_TLS_KEY_FILE: 'k.pem' },
    { QUORATE_HOST: '::1' },
  ])('listens where it was told that tokens are safe: %j', (variables) => {
    expect(parseEnvironment(variables).QUORATE_HOST).toBe(variables.QUORATE_HOST);
  });
});
