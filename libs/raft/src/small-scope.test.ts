import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { SmallMember, diskOf, fingerprint, type Input } from './small-scope-member.testing.js';
import { SmallScopeSearch } from './small-scope-search.testing.js';
import {
  BUILD_WORLDS,
  CLOSED_WORLDS,
  LARGE_WORLDS,
  openWorlds,
  searchSmallScope,
} from './small-scope.testing.js';

const TIMEOUT_MS = 300_000;
/** A nightly run sets how many states of each open world it wants to see; it searches the large closed worlds, too. */
const nightlyStates = Number(process.env['SMALL_SCOPE_STATES'] ?? 0);

/** Numbers in [0, 1) that look random and are the same in every run. */
function sequence(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

describe('every behaviour of small worlds', { timeout: TIMEOUT_MS }, () => {
  it.each(CLOSED_WORLDS)(
    '[V2] [V3] [A1] [A3] [C1] [C3] [R1] [R8] [R9] [D1] [S1] [S5] [S7] [T3] [F1] [F2] [F4] [F5] the whole space was visited: $name',
    (world) => {
      const { violation, searches } = searchSmallScope([world]);
      expect(violation).toBeNull();
      expect(searches[0]).toMatchObject({ complete: true });
      expect(searches[0]!.states).toBeGreaterThan(30);
    },
  );

  it.each(BUILD_WORLDS.slice(CLOSED_WORLDS.length))('[D1] [D2] [U1] the nearest states of $name', (world) => {
    const { violation, searches } = searchSmallScope([world]);
    expect(violation).toBeNull();
    expect(searches[0]).toMatchObject({ complete: false });
    // How far: the state at which the count ended is so many steps from the start.
    expect(searches[0]!.depth).toBeGreaterThanOrEqual(10);
  });

  it.runIf(nightlyStates > 0).each([...LARGE_WORLDS, ...openWorlds(nightlyStates)])(
    'nightly: $name',
    { timeout: 6 * 3_600_000 },
    (world) => {
      expect(searchSmallScope([world]).violation).toBeNull();
    },
  );
});

describe('the search itself', { timeout: TIMEOUT_MS }, () => {
  it('tells how a broken world breaks, a step a line', () => {
    // Member 1 believes that its second entry is committed; the majority never had it. No sound cluster has such disks.
    const { violation } = searchSmallScope([
      {
        name: 'a commit that never was',
        memberCount: 3,
        termMax: 3,
        refusalsLost: true,
        disks: [diskOf(2, null, [1, 1], 2), diskOf(2, 2, [1, 2]), diskOf(2, 2, [1, 2])],
        statesMax: 10_000,
      },
    ]);
    const lines = violation?.split('\n') ?? [];
    expect(lines[0]).toBe('a commit that never was');
    expect(lines.length).toBeGreaterThanOrEqual(2);
    for (const line of lines.slice(1, -1))
      expect(line).toMatch(/^(The oldest \d+ writes of m|M)ember \d.*\.$/);
    expect(lines.at(-1)).toMatch(
      /Safety|Committed On Quorum|MoreUpToDateCorrect|Leader Completeness|Assertion/,
    );
  });

  it('is the same every time', () => {
    const world = CLOSED_WORLDS.find(({ name }) => name.startsWith('figure 8'))!;
    const [first, second] = [new SmallScopeSearch(world).run(), new SmallScopeSearch(world).run()];
    expect(second).toEqual(first);
  });

  it.each([
    ['three members, 2 terms, 1 power loss', 1],
    ['a deposed rival', 2],
    ['two members with slow disks, 2 terms, 1 command, 1 power loss', 3],
    ['three members with pre-votes', 4],
    ['three members, one with a slow disk, Readys taken late', 5],
    ['a snapshot that a former leader offered', 6],
    ['three members, 2 terms, 2 compactions', 7],
    ['a transfer by member 1, leader of members that trust it; 1 read', 8],
    ['reads at a follower, which asks twice', 9],
    ['a second loss at any time', 10],
    ['a slow end', 11],
  ])('[U1] equal fingerprints behave alike, whatever way led to them: %s', (name, seed) => {
    const world = BUILD_WORLDS.find((one) => one.name.startsWith(name))!;
    const search = new SmallScopeSearch({ ...world, statesMax: 3_000 });
    const { space } = search;
    const random = sequence(seed);
    let compared = 0;
    // Another way led to a known state: the member that came by it and the known one get the same inputs from here on.
    const compare = (known: number, member: SmallMember): void => {
      space.onMerge = null; // the comparison's own steps are not compared
      for (let step = 0, state = known; step < 5; step++) {
        const input = space.inputs[Math.floor(random() * space.inputs.length)];
        if (input === undefined || !isPossible(input, member)) continue;
        const expected = space.step(state, space.input(input));
        if (expected.violation !== null) break; // not an input that this state can meet
        member.apply(input);
        const sent = new Set(member.takeSent().map((message) => space.message(message)));
        expect([...sent].toSorted()).toEqual([...expected.sent].toSorted());
        expect(fingerprint(member, (id) => id)).toBe(space.keyOf(expected.next));
        state = expected.next;
        compared += 1;
      }
      space.onMerge = compare;
    };
    space.onMerge = compare;
    search.run();
    expect(compared).toBeGreaterThan(300);
  });

  it('misses no field: the dump that fingerprints are made of names each private one', () => {
    const raft = new SmallMember(1, { memberCount: 3 }, diskOf(0, null, [])).raft.inspect();
    const dumps: [string, object, string[]][] = [
      // What is set once, and `log`, `reads`, which are dumps of their own.
      ['raft.ts', raft, ['config', 'peers']],
      ['log.ts', raft.log, []],
      ['read-rounds.ts', raft.reads, []],
      ['follower-reads.ts', raft.followerReads, []],
      ['progress.ts', leaderOf().raft.inspect().progress[0]!, []],
    ];
    for (const [file, dump, constant] of dumps) {
      const source = readFileSync(new URL(file, import.meta.url), 'utf8').split('\nexport class ')[1]!;
      const fields = [...source.matchAll(/^ {2}(?:readonly )?#?(\w+)(?:: [^()\n]+)?(?:| = .*);$/gm)].map(
        (match) => match[1]!,
      );
      expect(fields.length).toBeGreaterThan(2);
      expect(Object.keys(dump)).toEqual(
        expect.arrayContaining(fields.filter((field) => !constant.includes(field))),
      );
    }
  });
});

function leaderOf(): SmallMember {
  const member = new SmallMember(1, { memberCount: 2 }, diskOf(0, null, []));
  member.apply({ type: 'timeout' });
  const [request] = member.takeSent();
  const other = new SmallMember(2, { memberCount: 2 }, diskOf(0, null, []));
  other.apply({ type: 'deliver', message: request! });
  member.apply({ type: 'deliver', message: other.takeSent()[0]! });
  return member;
}

function isPossible(input: Input, { raft, self, writes, trustsLeader }: SmallMember): boolean {
  switch (input.type) {
    case 'deliver':
      return input.message.to === self;
    case 'heartbeat':
    case 'propose':
    case 'transfer':
      return raft.role === 'leader' && raft.term < 3;
    case 'read':
      return raft.leader !== null;
    case 'timeout':
      return raft.role !== 'leader' && raft.term < 3;
    case 'silence':
      return trustsLeader;
    case 'finishWrites':
      return input.count <= writes.length;
    case 'crash':
    case 'wipe':
      return false; // what is left of it is the disk, which is in the fingerprint as it is
    default:
      return true;
  }
}
