import { revision } from '@quorate/kv';
import { memberId, logIndex, term, type LogEntry, type Raft } from '@quorate/raft';
import { describe, expect, it } from 'vitest';
import type { CacheReadRecord } from '../gateway.js';
import { Chronicle } from '../chronicle.js';
import { World } from '../world.js';
import { checkCacheReads } from './cache-checker.js';
import { ElectionChecker } from './election-checker.js';
import { IndexChainChecker } from './index-chain-checker.js';
import { LogChecker } from './log-checker.js';
import type { MemberView } from './member-view.js';

type RaftFacts = Pick<Raft, 'role' | 'term' | 'commitIndex' | 'durableIndex' | 'lastIndex'>;

function member(id: number, process: number, facts: Partial<RaftFacts>, applied = 0): MemberView {
  const raft = {
    role: 'follower',
    term: term(1),
    commitIndex: logIndex(0),
    durableIndex: logIndex(0),
    lastIndex: logIndex(0),
    termAt: () => term(1),
    ...facts,
  };
  const machine = { appliedIndex: applied, stateHash: () => '' };
  // Checkers look at a few facts only; a whole replica is not needed to show them a wrong one.
  return { id, process, raft, machine } as unknown as MemberView;
}

function entry(index: number, inTerm: number, text: string): LogEntry {
  return {
    index: logIndex(index),
    term: term(inTerm),
    kind: 'command',
    payload: new TextEncoder().encode(text),
  };
}

describe('checkers', () => {
  it('one leader per term', () => {
    const checker = new ElectionChecker(new World(1));
    checker.observe(member(1, 1, { role: 'leader', term: term(3) }));
    checker.observe(member(1, 1, { role: 'leader', term: term(3) }));
    expect(() => checker.observe(member(2, 1, { role: 'leader', term: term(3) }))).toThrow(
      'one leader per term',
    );
  });

  it('one vote per term, also across a crash', () => {
    const checker = new ElectionChecker(new World(1));
    const vote = { type: 'voteResponse', from: memberId(1), term: term(2), granted: true } as const;
    checker.sent(1, { ...vote, to: memberId(2) });
    checker.sent(1, { ...vote, to: memberId(2) });
    expect(() => checker.sent(1, { ...vote, to: memberId(3) })).toThrow('one vote per term');
    expect(() => checker.recovered(1, 1)).toThrow('terms never go back');
  });

  it('log matching: content, and what lies before', () => {
    const stored = (entries: LogEntry[], previousTerm: number): LogChecker => {
      const checker = new LogChecker(new World(1));
      checker.stored(1, [entry(1, 1, 'a'), entry(2, 2, 'b')], 0);
      checker.stored(2, entries, previousTerm);
      return checker;
    };
    expect(() => stored([entry(2, 2, 'b')], 1)).not.toThrow();
    expect(() => stored([entry(2, 3, 'c')], 1)).not.toThrow();
    expect(() => stored([entry(2, 2, 'c')], 1)).toThrow('log matching');
    expect(() => stored([entry(2, 2, 'b')], 2)).toThrow('log matching');
  });

  it('what is committed stays', () => {
    const checker = new LogChecker(new World(1));
    checker.stored(1, [entry(1, 1, 'a')], 0);
    checker.stored(2, [entry(1, 2, 'b')], 0);
    checker.observe(member(1, 1, { commitIndex: logIndex(1) }));
    const other = member(2, 1, { commitIndex: logIndex(1) });
    Object.assign(other.raft, { termAt: () => term(2) });
    expect(() => checker.observe(other)).toThrow('state machine safety');
  });

  it('the order of indexes, and nothing goes back', () => {
    const facts = { commitIndex: logIndex(2), durableIndex: logIndex(3), lastIndex: logIndex(4) };
    const checker = new IndexChainChecker(new World(1));
    checker.observe(member(1, 1, facts, 2));
    expect(() => checker.observe(member(1, 1, { ...facts, commitIndex: logIndex(1) }, 1))).toThrow(
      'nothing goes back',
    );
    // A new process starts from what is on disk.
    expect(() => checker.observe(member(1, 2, { ...facts, commitIndex: logIndex(1) }, 1))).not.toThrow();
    expect(() => checker.observe(member(2, 1, facts, 3))).toThrow('order of indexes');
    expect(() => checker.observe(member(3, 1, { ...facts, durableIndex: logIndex(5) }))).toThrow(
      'order of indexes',
    );
  });

  it('a bound that is not kept, and a cache that goes back', () => {
    const read: CacheReadRecord = {
      gateway: 'g1',
      process: 1,
      namespace: 'content',
      key: 'k',
      level: { type: 'bounded', boundMs: 100 },
      minRevision: null,
      invokedMs: 1_000,
      answeredMs: 1_000,
      clockRate: 1,
      outcome: {
        type: 'hit',
        entry: null,
        revision: revision(5),
        epoch: 1,
        stalenessMs: 50,
        lag: 0,
        quorum: true,
        level: 'bounded',
        filled: false,
      },
      value: null,
    };
    const check = (...reads: CacheReadRecord[]): void =>
      checkCacheReads(new World(1), reads, [], new Chronicle([]));
    const told = (changes: object): CacheReadRecord => ({
      ...read,
      outcome: { ...read.outcome, ...changes },
    });
    expect(() => check(read)).not.toThrow();
    expect(() => check(told({ stalenessMs: 101 }))).toThrow('a bound is kept');
    expect(() => check(told({ stalenessMs: null }))).toThrow('a bound is kept');
    expect(() => check({ ...read, minRevision: 6 })).toThrow('a session never goes back');
    expect(() => check(read, told({ revision: 4 }))).toThrow('a cache never goes back');
    expect(() => check(read, { ...told({ revision: 4 }), process: 2 })).not.toThrow();
  });
});
