import { describe, expect, it } from 'vitest';
import { BASE_PORT, memberListHash, natsPortOf, parseClusterFile, portsOf } from './cluster.js';
import { QuorateError } from './errors.js';

const member = (id: number) => ({
  id,
  host: '127.0.0.1',
  ...portsOf(BASE_PORT, id),
  incarnation: `00000000000000a${id}`,
});
const cluster = {
  format: 1,
  clusterId: '00112233445566ff',
  epoch: 1,
  members: [member(1), member(2), member(3)],
};

function refusal(text: string): string {
  try {
    parseClusterFile(text);
  } catch (error) {
    if (error instanceof QuorateError) return error.message;
    throw error;
  }
  return 'accepted';
}

describe('cluster.json', () => {
  it('is read as it was written', () => {
    expect(parseClusterFile(JSON.stringify(cluster))).toEqual(cluster);
  });

  it.each([
    ['not json', '{', 'cluster.json is not JSON.'],
    ['another format', JSON.stringify({ ...cluster, format: 2 }), 'format'],
    ['an unknown field', JSON.stringify({ ...cluster, port: 1 }), 'port'],
    ['no members', JSON.stringify({ ...cluster, members: [] }), 'members'],
    [
      'an id twice',
      JSON.stringify({ ...cluster, members: [member(1), member(1)] }),
      'names a member id twice',
    ],
    [
      'a bad incarnation',
      JSON.stringify({ ...cluster, members: [{ ...member(1), incarnation: 'X' }] }),
      'members.0.',
    ],
    [
      'a bad port',
      JSON.stringify({ ...cluster, members: [{ ...member(1), linkPort: 70_000 }] }),
      'members.0.linkPort',
    ],
    ['a large text', ' '.repeat(70_000), 'larger than 64 KiB'],
    ['null', 'null', 'not valid'],
  ])('refuses %s with a sentence', (_, text, words) => {
    expect(refusal(text)).toContain(words);
  });

  it('hashes the member list whatever its order, and every field of it', () => {
    const hash = memberListHash(parseClusterFile(JSON.stringify(cluster)).members);
    expect(hash).toMatch(/^[0-9a-f]{16}$/);
    const turned = { ...cluster, members: [member(3), member(1), member(2)] };
    expect(memberListHash(parseClusterFile(JSON.stringify(turned)).members)).toBe(hash);
    for (const change of [
      { host: '10.0.0.1' },
      { linkPort: 1 },
      { healthPort: 1 },
      { incarnation: '00000000000000ff' },
      { id: 4 },
    ]) {
      const other = { ...cluster, members: [member(1), member(2), { ...member(3), ...change }] };
      expect(memberListHash(parseClusterFile(JSON.stringify(other)).members)).not.toBe(hash);
    }
  });

  it('takes a priority, which does not make it another list', () => {
    const preferring = { ...cluster, members: [member(1), member(2), { ...member(3), priority: 5 }] };
    const { members } = parseClusterFile(JSON.stringify(preferring));
    expect(members.map(({ priority }) => priority)).toEqual([undefined, undefined, 5]);
    expect(memberListHash(members)).toBe(memberListHash(parseClusterFile(JSON.stringify(cluster)).members));
    const beyond = { ...cluster, members: [{ ...member(1), priority: 101 }, member(2), member(3)] };
    expect(() => parseClusterFile(JSON.stringify(beyond))).toThrow(/priority/);
  });

  it('counts ports from one base', () => {
    expect(portsOf(7400, 1)).toEqual({ linkPort: 7410, healthPort: 7411 });
    expect(portsOf(7400, 3)).toEqual({ linkPort: 7430, healthPort: 7431 });
    expect(natsPortOf(7400)).toBe(7401);
  });
});
