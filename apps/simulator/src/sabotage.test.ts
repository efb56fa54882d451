import { failure } from '@quorate/api';
import type { Disk } from '@quorate/wal';
import { describe, expect, it } from 'vitest';
import { NO_FAULTS, QUIET_SWARM } from './quiet-swarm.js';
import type { Sabotage } from './sabotage.js';
import { simulate } from './simulation.js';
import type { SwarmParameters } from './swarm.js';

/** Names of the checkers that convicted, over a few seeds of a world that is broken on purpose; until `wanted` is among them. */
function convictions(
  sabotage: Sabotage,
  swarm: Partial<SwarmParameters>,
  seeds = 6,
  wanted: string | null = null,
): string[] {
  const found: string[] = [];
  for (let seed = 1; seed <= seeds; seed += 1) {
    const { violation } = simulate(seed, {
      sabotage,
      swarm: { ...QUIET_SWARM, faultPhaseMs: 4_000, ...swarm },
    });
    if (violation !== null) found.push(violation.checker);
    if (violation?.checker === wanted) break;
  }
  return found;
}

/** A stand-in for `target` in which some members are replaced. Private fields forbid inheriting from it. */
function replacing<T extends object>(target: T, members: Partial<T>): T {
  return new Proxy(target, {
    get: (_, name) => {
      const value: unknown = Reflect.get(name in members ? members : target, name);
      return typeof value === 'function' && !(name in members) ? value.bind(target) : value;
    },
  });
}

const ROUGH: Partial<SwarmParameters> = {
  network: {
    ...QUIET_SWARM.network,
    delayMeanMs: 20,
    lossProbability: 0.1,
    stragglerProbability: 0.05,
    stragglerMeanMs: 500,
  },
  faults: { ...NO_FAULTS, partition: 1_000 },
};

describe('a world that is broken on purpose is convicted', { timeout: 120_000 }, () => {
  it('by nobody, when it is not broken', () => {
    expect(convictions({}, {}, 3)).toEqual([]);
    expect(convictions({}, ROUGH, 3)).toEqual([]);
  });

  it('a disk that says it has synced and has not', () => {
    const lying: Sabotage = {
      disk: (disk, host): Disk =>
        replacing<Disk>(disk, {
          openFile: (path, options) =>
            replacing(disk.openFile(path, options), {
              sync: (callback) => {
                host.post(1, () => callback(null));
              },
              syncNow: () => undefined,
            }),
        }),
    };
    const found = convictions(lying, { faults: { ...NO_FAULTS, crashAll: 1_000 } });
    expect(found.length).toBeGreaterThan(0);
    // A torn header or a hole in the log is noticed on reading, a forgotten promise by the checkers.
    const known = [
      'no exceptions',
      'terms never go back',
      'one vote per term',
      'no acknowledged write is lost',
    ];
    const others = [
      'state machine safety',
      'assertions of the code under test',
      'nothing goes back',
      'log matching',
    ];
    for (const checker of found) expect([...known, ...others]).toContain(checker);
  });

  it('a network that turns refused votes into granted ones', () => {
    const forging: Sabotage = {
      sent: (message) =>
        message.type === 'voteResponse' || message.type === 'preVoteResponse'
          ? [{ ...message, granted: true }]
          : [message],
    };
    const slow = { ...QUIET_SWARM.network, delayMeanMs: 60 };
    const elections = { network: slow, memberCount: 5, faults: { ...NO_FAULTS, crashAll: 1_500 } };
    expect(convictions(forging, elections, 30, 'one leader per term')).toContain('one leader per term');
  });

  it('a network that changes an entry on its way to one member', () => {
    const corrupting: Sabotage = {
      sent: (message) =>
        message.type === 'appendRequest' && message.to === 2
          ? [
              {
                ...message,
                entries: message.entries.map((entry) => ({ ...entry, payload: entry.payload.slice(1) })),
              },
            ]
          : [message],
    };
    expect(convictions(corrupting, {}, 3)).toContain('log matching');
  });

  it('a member that applies one entry differently', () => {
    const diverging: Sabotage = {
      machine: (machine, member) =>
        member === 2
          ? replacing(machine, {
              apply: (index, bytes) => {
                if (index !== 9) return machine.apply(index, bytes);
                machine.applyNoop(index);
                return { type: 'failed', code: 'INVALID_COMMAND', currentRevision: null, head: machine.head };
              },
            })
          : machine,
    };
    expect(convictions(diverging, {}, 3)).toContain('equal states');
  });

  it('a replica that answers reads without a barrier', () => {
    const careless: Sabotage = {
      replica: (replica) => replacing(replica, { readBarrier: (_deadlineMs, callback) => callback(null) }),
    };
    expect(convictions(careless, ROUGH, 4)).toContain('linearizability');
  });

  it('a replica that proposes everything twice, without its number', () => {
    const doubling: Sabotage = {
      replica: (replica) =>
        replacing(replica, {
          propose: (command, deadlineMs, callback) => {
            const bare =
              command.body.type === 'operation' && command.body.operation.type === 'put'
                ? { ...command, registration: null }
                : command;
            replica.propose(bare, deadlineMs, () => undefined);
            replica.propose(bare, deadlineMs, callback);
          },
        }),
    };
    expect(convictions(doubling, {}, 3)).toContain('none applied twice');
  });

  it('a member that calls a write refused that was done', () => {
    let answers = 0;
    const denying: Sabotage = {
      answer: (response) => {
        answers += 1;
        return response.type === 'written' && response.version > 0 && answers % 10 === 0
          ? failure('FORBIDDEN')
          : response;
      },
    };
    expect(convictions(denying, {}, 3)).toContain('outcomes are honest');
  });

  it('a member that acknowledges a revision that was not the write', () => {
    let answers = 0;
    const misnaming: Sabotage = {
      answer: (response) => {
        answers += 1;
        if (response.type !== 'written' || answers % 10 !== 0) return response;
        return { ...response, revision: response.createRevision };
      },
    };
    expect(convictions(misnaming, {}, 3)).toContain('no acknowledged write is lost');
  });

  it('a cluster that trusts a member whose disk was wiped', () => {
    const trusting: Sabotage = { trustWipedMembers: true };
    const wiping = { ...ROUGH, faults: { ...NO_FAULTS, partition: 700, wipe: 1_500 } };
    const found = convictions(trusting, wiping, 8);
    expect(found.length).toBeGreaterThan(0);
    // Which is first depends on who campaigns first.
    const known = [
      'assertions of the code under test',
      'state machine safety',
      'no acknowledged write is lost',
    ];
    known.push('a healed cluster serves');
    for (const checker of found) expect(known).toContain(checker);
  });
});

describe('a cache that lies is convicted', { timeout: 120_000 }, () => {
  const cached: Partial<SwarmParameters> = {
    gatewayCount: 1,
    faults: { ...NO_FAULTS, feedOutage: 800, partition: 1_500 },
    feed: { ...QUIET_SWARM.feed, lossProbability: 0.3 },
  };

  it('by nobody, when it does not lie', () => {
    expect(convictions({}, cached, 3)).toEqual([]);
  });

  it('of a staleness that is too small', () => {
    const flattering: Sabotage = {
      cacheAnswer: (outcome) => (outcome.type === 'hit' ? { ...outcome, stalenessMs: 0 } : outcome),
    };
    expect(convictions(flattering, cached, 3)).toContain('staleness is never understated');
  });

  it('of content that was never so', () => {
    const mixing: Sabotage = {
      cacheAnswer: (outcome) => (outcome.type === 'hit' ? { ...outcome, entry: null } : outcome),
    };
    expect(convictions(mixing, cached, 3)).toContain('a cache shows what was');
  });

  it('of serving strict data', () => {
    let last: Parameters<NonNullable<Sabotage['cacheAnswer']>>[0] | null = null;
    const leaking: Sabotage = {
      cacheAnswer: (outcome) => {
        if (outcome.type === 'hit') last = outcome;
        return outcome.type === 'strict' && last !== null ? last : outcome;
      },
    };
    expect(convictions(leaking, cached, 3)).toContain('strict data is never cached');
  });
});
