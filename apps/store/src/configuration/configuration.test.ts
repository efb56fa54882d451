import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestCluster } from '../cluster.testing.js';
import { readClusterFile } from './cluster-file.js';
import { parseConfiguration } from './configuration.js';
import { readPassword, readSecrets } from './secrets.js';

const minimal = {
  QUORATE_MEMBER: '2',
  QUORATE_CLUSTER_FILE: '/c/cluster.json',
  QUORATE_DATA_DIR: '/d',
  QUORATE_SECRETS_DIR: '/s',
};

describe('the configuration', () => {
  it('has safe defaults: loopback, no NATS, links to other machines encrypted', () => {
    expect(parseConfiguration({ ...minimal, PATH: '/bin' })).toEqual({
      member: 2,
      clusterFile: '/c/cluster.json',
      dataDirectory: '/d',
      secretsDirectory: '/s',
      host: '127.0.0.1',
      nats: null,
      plaintext: false,
      logLevel: 'log',
    });
  });

  it('refuses a variable that it does not know: a misspelt setting must not silently do nothing', () => {
    expect(() => parseConfiguration({ ...minimal, QUORATE_PLAINTXT: 'false' })).toThrow(
      /^QUORATE_PLAINTXT is not a variable of a member; it knows QUORATE_MEMBER, /,
    );
  });

  it.each([
    ['QUORATE_MEMBER', undefined, 'QUORATE_MEMBER must be set'],
    ['QUORATE_DATA_DIR', undefined, 'QUORATE_DATA_DIR must be set'],
    ['QUORATE_DATA_DIR', '', 'QUORATE_DATA_DIR must not be empty'],
    ['QUORATE_MEMBER', '0', 'must be the number of this member'],
    ['QUORATE_MEMBER', '65536', 'must be the number of this member'],
    ['QUORATE_MEMBER', 'one', 'must be the number of this member'],
    ['QUORATE_PLAINTEXT', 'yes', 'QUORATE_PLAINTEXT must be true or false'],
    ['QUORATE_LOG_LEVEL', 'loud', 'QUORATE_LOG_LEVEL must be one of error, warn, log, debug'],
    ['QUORATE_NATS_URL', 'nats://user:word@host:4222', 'must look like nats://host:port'],
    ['QUORATE_NATS_USER', 'member', 'belong together'],
  ])('refuses %s = %s', (name, text, sentence) => {
    expect(() => parseConfiguration({ ...minimal, [name]: text })).toThrow(sentence);
  });

  it('takes NATS with its login', () => {
    const nats = {
      QUORATE_NATS_URL: 'nats://n:4222',
      QUORATE_NATS_USER: 'member',
      QUORATE_NATS_PASSWORD_FILE: '/p',
    };
    expect(parseConfiguration({ ...minimal, ...nats }).nats).toEqual({
      url: 'nats://n:4222',
      login: { user: 'member', passwordFile: '/p' },
    });
  });
});

describe('what the configuration names', () => {
  let cluster: TestCluster;
  beforeAll(async () => {
    cluster = await TestCluster.make(1);
  });
  afterAll(() => cluster.remove());

  it('is refused in one sentence when it is missing or wrong', () => {
    const path = join(cluster.folder, 'cluster.json');
    expect(() => readClusterFile(join(cluster.folder, 'no.json'), 1)).toThrow('no.json cannot be read');
    expect(() => readClusterFile(path, 4)).toThrow(`${path} lists no member 4; it lists 1.`);
    const broken = join(cluster.folder, 'broken.json');
    writeFileSync(broken, '{"format":1,');
    expect(() => readClusterFile(broken, 1)).toThrow(`${broken}: `);
    expect(() => readSecrets(cluster.folder)).toThrow('member.key cannot be read');
    writeFileSync(join(cluster.folder, 'member.key'), 'short');
    expect(() => readSecrets(cluster.folder)).toThrow('member.key must hold 64 lowercase hex digits.');
    writeFileSync(join(cluster.folder, 'empty'), '\n');
    expect(() => readPassword(join(cluster.folder, 'empty'))).toThrow('empty is empty');
  });

  it('is read when it is right', () => {
    const secrets = readSecrets(join(cluster.folder, 'secrets'));
    expect(Buffer.from(secrets.memberKey)).toEqual(cluster.keys.get('member'));
    expect(secrets.adminTokenHash).toMatch(/^[0-9a-f]{64}$/);
  });
});
