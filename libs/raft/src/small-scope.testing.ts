import { compactedDisk, diskOf } from './small-scope-member.testing.js';
import { SmallScopeSearch, type SmallSearch, type SmallWorld } from './small-scope-search.testing.js';

const ALL = [1, 2, 3];

/** Worlds in which a disk is lost. Member 1 leads in term 1 with one entry, the recovery that it hears of costs another. */
const FORGOTTEN = {
  memberCount: 3,
  termMax: 2,
  wipes: 0,
  recoveryEntriesMax: 2,
  campaigners: [2],
  refusalsLost: true,
} as const;
const FORGOTTEN_VOTE = [
  ...['timeout 1', 'settle 1 2 3', 'lose', 'timeout 2'],
  ...['deliver 2>3 voteRequest', 'wipe 3'],
];

/** Worlds that are searched to the end: every state that they can reach is visited. */
const CLOSED: readonly Omit<SmallWorld, 'statesMax'>[] = [
  {
    name: 'three members with slow disks, 1 term',
    memberCount: 3,
    termMax: 1,
    slowDisks: ALL,
    refusalsLost: true,
  },
  {
    name: 'three members, one of which may campaign, pre-votes, trust, forgetting, refusals heard, 1 term',
    memberCount: 3,
    termMax: 1,
    campaigners: [1],
    preVotes: true,
    trust: true,
    forgetsLeader: true,
  },
  {
    name: 'figure 8: member 1 leads in term 3 with an entry of term 1, member 3 holds one of term 2',
    memberCount: 3,
    termMax: 4,
    campaigners: [1, 3],
    oneEntryPerMessage: true,
    refusalsLost: true,
    disks: [diskOf(2, null, [1]), diskOf(2, 3, []), diskOf(2, 3, [2])],
    script: ['timeout 1', 'deliver 1>2 voteRequest', 'deliver 2>1 voteResponse'],
  },
  {
    name: 'a conflicting tail: member 1 leads in term 3, member 3 holds entries of term 2',
    memberCount: 3,
    termMax: 3,
    campaigners: [1],
    slowDisks: [3],
    oneEntryPerMessage: true,
    refusalsLost: true,
    disks: [diskOf(2, null, [1, 1]), diskOf(2, 3, [1]), diskOf(2, 3, [1, 2, 2])],
    script: ['timeout 1', 'settle 1 2'],
  },
  {
    name: 'a deposed rival: member 1 believes that it leads, member 2 does; 1 read, 1 tick of a leader',
    memberCount: 3,
    termMax: 3,
    reads: 1,
    heartbeats: 1,
    campaigners: [1],
    refusalsLost: true,
    script: ['timeout 1', 'settle 1 2 3', 'timeout 2', 'settle 2 3'],
  },
  {
    name: 'five members, member 1 believes that it leads, member 2 does with 3 and 4; 1 read',
    memberCount: 5,
    termMax: 2,
    reads: 1,
    campaigners: [1],
    refusalsLost: true,
    script: ['timeout 1', 'settle 1 2 3 4 5', 'timeout 2', 'settle 2 3 4', 'lose'],
  },
  {
    name: 'an old long tail: member 1 holds three entries of term 1, members 2 and 3 commit one of term 2',
    memberCount: 3,
    termMax: 3,
    refusalsLost: true,
    disks: [diskOf(1, 1, [1, 1, 1]), diskOf(1, 1, [1]), diskOf(1, 1, [1])],
    script: ['timeout 2', 'settle 2 3'],
  },
  {
    name: 'a snapshot for member 3, whose log differs: member 1 leads without its old log; 1 command, 1 power loss',
    memberCount: 3,
    termMax: 3,
    proposals: 1,
    crashes: 1,
    campaigners: [1],
    slowDisks: [3],
    refusalsLost: true,
    disks: [compactedDisk(diskOf(2, null, [1, 2]), 2), diskOf(2, 1, [1, 2]), diskOf(1, 3, [1, 1, 1])],
    script: ['timeout 1', 'settle 1 2'],
  },
  {
    name: 'a snapshot that a former leader offered: member 1 led without its old log, members 2 and 3 may lead now',
    memberCount: 3,
    termMax: 4,
    compactions: 1,
    campaigners: [2, 3],
    slowDisks: [3],
    refusalsLost: true,
    disks: [compactedDisk(diskOf(1, 1, [1, 1]), 2), diskOf(1, 1, [1, 1]), diskOf(1, null, [])],
    script: ['timeout 1', 'settle 1 2 3', 'timeout 2', 'settle 1 2', 'lose'],
  },
  {
    name: 'three members, 2 terms, 2 compactions',
    memberCount: 3,
    termMax: 2,
    compactions: 2,
    refusalsLost: true,
  },
  {
    name: 'a transfer by member 1, leader of members that trust it; member 3 may campaign; 1 command',
    memberCount: 3,
    termMax: 2,
    proposals: 1,
    transfers: 1,
    campaigners: [3],
    trust: true,
    refusalsLost: true,
    script: ['timeout 1', 'settle 1 2 3', 'lose'],
  },
  {
    name: 'a transfer by member 1, leader of members that trust it; 1 read anywhere',
    memberCount: 3,
    termMax: 2,
    reads: 1,
    transfers: 1,
    followerReadRequestsMax: 1,
    campaigners: [],
    trust: true,
    refusalsLost: true,
    script: ['timeout 1', 'settle 1 2 3', 'lose'],
  },
  {
    name: 'reads at followers: member 1 is deposed by member 2; 1 read',
    memberCount: 3,
    termMax: 2,
    reads: 1,
    followerReadRequestsMax: 2,
    campaigners: [2],
    trust: true,
    refusalsLost: true,
    script: ['timeout 1', 'settle 1 2 3', 'lose'],
  },
  {
    name: 'reads at a follower, which asks twice: member 1 of two leads; 2 reads, 1 command',
    memberCount: 2,
    termMax: 1,
    proposals: 1,
    reads: 2,
    followerReadRequestsMax: 2,
    readRoundsMax: 2,
    campaigners: [],
    trust: true,
    refusalsLost: true,
    script: ['timeout 1', 'settle 1 2', 'lose'],
  },
  {
    name: 'three members, 2 terms, 1 power loss',
    memberCount: 3,
    termMax: 2,
    crashes: 1,
    refusalsLost: true,
  },
  {
    name: 'three members, 3 terms',
    memberCount: 3,
    termMax: 3,
    refusalsLost: true,
  },
  {
    name: 'three members, 2 terms, 1 read',
    memberCount: 3,
    termMax: 2,
    reads: 1,
    refusalsLost: true,
  },
  {
    name: 'three members, one with a slow disk, 1 term, 1 command',
    memberCount: 3,
    termMax: 1,
    proposals: 1,
    slowDisks: [1],
    refusalsLost: true,
  },
  {
    name: 'three members, 2 terms, 1 command',
    memberCount: 3,
    termMax: 2,
    proposals: 1,
    refusalsLost: true,
  },
  {
    name: 'one member, 3 terms, 2 commands, 2 power losses',
    memberCount: 1,
    termMax: 3,
    proposals: 2,
    crashes: 2,
    reads: 1,
    slowDisks: [1],
  },
  {
    name: 'two members, 2 terms, 2 commands, refusals heard',
    memberCount: 2,
    termMax: 2,
    proposals: 2,
  },
  {
    name: 'two members with slow disks, 2 terms, 1 command, 1 read',
    memberCount: 2,
    termMax: 2,
    proposals: 1,
    reads: 1,
    slowDisks: [1, 2],
    refusalsLost: true,
  },
  {
    name: 'two members with slow disks, 2 terms, 1 command, 1 power loss, refusals heard',
    memberCount: 2,
    termMax: 2,
    proposals: 1,
    crashes: 1,
    slowDisks: [1, 2],
  },
  {
    name: 'a forgotten vote: member 3 voted for 2 in term 2 and lost its disk, member 1 leads in term 1; 1 command, 2 ticks of leaders',
    ...FORGOTTEN,
    proposals: 1,
    heartbeats: 2,
    script: FORGOTTEN_VOTE,
  },
  {
    name: 'a forgotten vote, members 2 and 3 may campaign, 1 power loss, 2 ticks of leaders',
    ...FORGOTTEN,
    crashes: 1,
    heartbeats: 2,
    campaigners: [2, 3],
    script: FORGOTTEN_VOTE,
  },
  {
    name: 'a forgotten vote, refusals heard, 2 ticks of leaders',
    ...FORGOTTEN,
    heartbeats: 2,
    refusalsLost: false,
    script: FORGOTTEN_VOTE,
  },
  {
    name: 'a forgotten leader: member 3 followed 2 in term 2 and lost its disk, member 1 believes that it leads; 1 read, 2 ticks of leaders',
    ...FORGOTTEN,
    reads: 1,
    heartbeats: 2,
    script: ['timeout 1', 'settle 1 2 3', 'lose', 'timeout 2', 'settle 2 3', 'wipe 3'],
  },
  {
    name: 'a second loss: member 3 came back, voted for 2 in term 2 and lost its disk again; 1 command, 2 ticks of leaders',
    ...FORGOTTEN,
    proposals: 1,
    heartbeats: 2,
    recoveryEntriesMax: 3,
    script: [
      ...['timeout 1', 'settle 1 2 3', 'wipe 3'],
      ...['heartbeat 1', 'settle 1 2 3', 'heartbeat 1', 'settle 1 2 3', 'lose'],
      ...['timeout 2', 'deliver 2>3 voteRequest', 'wipe 3'],
    ],
  },
  {
    name: 'a second loss at any time, of member 3, which recovers; 1 term, 1 tick of a leader',
    ...FORGOTTEN,
    termMax: 1,
    wipes: 1,
    heartbeats: 1,
    recoveryEntriesMax: 3,
    forgetful: [3],
    campaigners: [],
    script: ['timeout 1', 'settle 1 2 3', 'wipe 3', 'heartbeat 1', 'lose'],
  },
  {
    name: 'a lost copy: member 2 may lose its disk, members 1 and 2 have committed what 3 lacks; 3 terms, 1 tick of a leader',
    ...FORGOTTEN,
    termMax: 3,
    wipes: 1,
    heartbeats: 1,
    forgetful: [2],
    campaigners: [2, 3],
    script: ['timeout 1', 'settle 1 2', 'lose'],
  },
  {
    name: 'a lost copy, 2 terms, 1 power loss, 1 tick of a leader',
    ...FORGOTTEN,
    wipes: 1,
    crashes: 1,
    heartbeats: 1,
    forgetful: [2],
    campaigners: [2, 3],
    script: ['timeout 1', 'settle 1 2', 'lose'],
  },
  {
    name: 'a leader that may lose its disk, 2 terms, 1 tick of a leader',
    ...FORGOTTEN,
    wipes: 1,
    heartbeats: 1,
    recoveryEntriesMax: 3,
    forgetful: [1],
    script: ['timeout 1', 'settle 1 2 3', 'lose'],
  },
  {
    name: 'members 2 and 3 may both lose their disks, 2 terms, 1 tick of a leader',
    ...FORGOTTEN,
    wipes: 2,
    mostMayForget: true,
    heartbeats: 1,
    forgetful: [2, 3],
    script: ['timeout 1', 'settle 1 2 3', 'lose'],
  },
  {
    name: 'member 3 may lose its disk, member 2 may campaign, 2 terms, 2 ticks of leaders',
    ...FORGOTTEN,
    wipes: 1,
    heartbeats: 2,
    forgetful: [3],
    script: ['timeout 1', 'settle 1 2 3', 'lose'],
  },
  {
    name: 'a slow end: member 3 recovers with a slow disk; 1 power loss, 2 ticks of leaders',
    ...FORGOTTEN,
    crashes: 1,
    heartbeats: 2,
    slowDisks: [3],
    script: ['timeout 1', 'settle 1 2 3', 'lose', 'wipe 3'],
  },
  {
    name: 'a snapshot for member 3, which recovers with a slow disk: member 1 leads without its old log; 1 power loss, 2 ticks of leaders',
    ...FORGOTTEN,
    crashes: 1,
    heartbeats: 2,
    recoveryEntriesMax: 4,
    campaigners: [1],
    slowDisks: [3],
    disks: [compactedDisk(diskOf(1, 1, [1, 1]), 2), diskOf(1, 1, [1, 1]), diskOf(1, 1, [1, 1])],
    script: ['timeout 1', 'settle 1 2 3', 'lose', 'wipe 3'],
  },
  {
    name: 'four members, two of which voted for 2 in term 2, and one of these lost its disk; 2 ticks of leaders',
    ...FORGOTTEN,
    memberCount: 4,
    heartbeats: 2,
    script: [
      ...['timeout 1', 'settle 1 2 3 4', 'lose', 'timeout 2'],
      ...['deliver 2>3 voteRequest', 'deliver 2>4 voteRequest', 'wipe 3'],
    ],
  },
  {
    name: 'a forgotten campaign and a forgotten vote: members 4 and 5 of five came back, 4 may campaign in the same term again; 1 tick of a leader',
    ...FORGOTTEN,
    memberCount: 5,
    heartbeats: 1,
    recoveryEntriesMax: 0,
    campaigners: [4],
    script: [
      ...['timeout 1', 'settle 1 2 3 4 5', 'lose', 'timeout 4', 'deliver 4>5 voteRequest'],
      ...['keep 5>4 voteResponse', 'wipe 4', 'wipe 5', 'heartbeat 1'],
      ...[4, 5].flatMap((m) => [`deliver 1>${m} heartbeatRequest`, `deliver ${m}>1 heartbeatResponse`]),
      'settle 1 2 3',
      ...[4, 5, 4, 5].flatMap((m) => [`deliver 1>${m} appendRequest`, `deliver ${m}>1 appendResponse`]),
      ...['heartbeat 1', 'deliver 1>4 heartbeatRequest', 'deliver 1>5 heartbeatRequest'],
      ...['keep 5>4 voteResponse', 'propose 1', 'settle 1 5 2', 'keep 5>4 voteResponse'],
    ],
  },
];

/** What each build searches, in order. A closed world that grew beyond this many states would say so: its test asks for completeness. */
export const CLOSED_WORLDS: readonly SmallWorld[] = CLOSED.map((world) => ({ ...world, statesMax: 200_000 }));

/** Worlds too large for a build: it sees their nearest states, as many as it is given. */
const OPEN: readonly Omit<SmallWorld, 'statesMax'>[] = [
  {
    name: 'three members with slow disks, 2 terms, 1 power loss',
    memberCount: 3,
    termMax: 2,
    crashes: 1,
    slowDisks: ALL,
    refusalsLost: true,
  },
  {
    name: 'three members, one with a slow disk, Readys taken late, 1 term, 1 command',
    memberCount: 3,
    termMax: 1,
    proposals: 1,
    slowDisks: [1],
    lazyReady: true,
    refusalsLost: true,
  },
  {
    name: 'three members with pre-votes, trust, forgetting and refusals heard, 2 terms, 1 command, 1 read, 3 ticks of leaders',
    memberCount: 3,
    termMax: 2,
    proposals: 1,
    reads: 1,
    heartbeats: 3,
    preVotes: true,
    trust: true,
    forgetsLeader: true,
  },
];

/** Worlds that close, but not in the time of a build. */
const LARGE: readonly Omit<SmallWorld, 'statesMax'>[] = [
  { name: 'three members, 3 terms, 1 command', memberCount: 3, termMax: 3, proposals: 1, refusalsLost: true },
  {
    name: 'three members, 2 terms, 2 ticks of leaders',
    memberCount: 3,
    termMax: 2,
    heartbeats: 2,
    refusalsLost: true,
  },
  {
    name: 'three members, one with a slow disk, 2 terms, 1 power loss',
    memberCount: 3,
    termMax: 2,
    crashes: 1,
    slowDisks: [1],
    refusalsLost: true,
  },
  {
    name: 'a forgotten vote, members 2 and 3 may campaign, 3 terms, 2 ticks of leaders',
    ...FORGOTTEN,
    termMax: 3,
    heartbeats: 2,
    recoveryEntriesMax: 3,
    campaigners: [2, 3],
    script: FORGOTTEN_VOTE,
  },
  {
    name: 'a second loss at any time, of member 3, which recovers; 1 term, 2 ticks of a leader',
    ...FORGOTTEN,
    termMax: 1,
    wipes: 1,
    heartbeats: 2,
    recoveryEntriesMax: 3,
    forgetful: [3],
    campaigners: [],
    script: ['timeout 1', 'settle 1 2 3', 'lose', 'wipe 3'],
  },
  {
    name: 'three members, any of which may lose its disk, 2 terms, 1 tick of a leader',
    ...FORGOTTEN,
    wipes: 1,
    heartbeats: 1,
    campaigners: [1, 2],
  },
];

/** Open worlds, up to so many states each. */
export function openWorlds(statesMax: number): readonly SmallWorld[] {
  return OPEN.map((world) => ({ ...world, statesMax }));
}

/** What a nightly run adds. */
export const LARGE_WORLDS: readonly SmallWorld[] = LARGE.map((world) => ({ ...world, statesMax: 2_000_000 }));

/** What each build searches: in all some 300,000 states, a minute of one core at most. */
export const BUILD_WORLDS: readonly SmallWorld[] = [...CLOSED_WORLDS, ...openWorlds(8_000)];

export interface SmallScopeResult {
  readonly violation: string | null;
  readonly states: number;
  readonly searches: readonly SmallSearch[];
}

/** Searches the worlds in order, up to the first violation. Counts are the bounds; the clock is not asked. */
export function searchSmallScope(worlds: readonly SmallWorld[] = BUILD_WORLDS): SmallScopeResult {
  const searches: SmallSearch[] = [];
  let states = 0;
  for (const world of worlds) {
    const search = new SmallScopeSearch(world).run();
    searches.push(search);
    states += search.states;
    if (search.violation !== null)
      return { violation: `${world.name}\n${search.violation}`, states, searches };
  }
  return { violation: null, states, searches };
}
