import type { ClusterFile, MemberStatus } from '@quorate/api';
import { describe, expect, it } from 'vitest';
import { MemoryBackend } from '../memory-backend.testing.js';
import type { ObservedMember } from '../store/store.js';
import { clusterAnswer } from './cluster-answer.js';

const cluster: ClusterFile = { format: 1, clusterId: 'c0ffee00c0ffee00', epoch: 1, members: [] };
const { view } = new MemoryBackend();

async function member(id: number, changes: Partial<MemberStatus> | null): Promise<ObservedMember> {
  const [, leader] = await new MemoryBackend().store.members();
  return {
    id,
    status: changes === null || !leader?.status ? null : { ...leader.status, id, ...changes },
  };
}
async function seen(
  ...members: Promise<ObservedMember>[]
): Promise<{ quorum: boolean; leader: number | null }> {
  const { quorum, leader } = clusterAnswer(cluster, await Promise.all(members), view.status());
  return { quorum, leader };
}

describe('clusterAnswer', () => {
  it('knows nothing when nobody answers', async () => {
    expect(await seen(member(1, null), member(2, null))).toEqual({ quorum: false, leader: null });
  });

  it('believes followers that name a leader which this gateway does not reach', async () => {
    const follower = { role: 'follower', leader: 3, quorum: true, term: 5 } as const;
    expect(await seen(member(1, follower), member(2, follower), member(3, null))).toEqual({
      quorum: true,
      leader: 3,
    });
  });

  it('believes the newer of two leaders, and a quorum over a newer term without one', async () => {
    expect(await seen(member(1, { term: 4 }), member(2, { term: 5 }))).toEqual({ quorum: true, leader: 2 });
    const lonely = { role: 'candidate', leader: null, quorum: false, term: 9 } as const;
    expect(await seen(member(1, { term: 4 }), member(2, lonely))).toEqual({ quorum: true, leader: 1 });
  });
});
