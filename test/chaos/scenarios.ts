import type { Part } from './fault.js';
import type { Expectation, Plan, PlannedFault, Role, Step } from './plan.js';

/** Before the first fault: enough calm traffic to compare with. */
const WARM_UP_MS = 3_000;
/** After the last: the run then goes on until all has recovered. */
const CALM_MS = 2_000;
const HOLD_MS = 10_000;
/** An election takes 1 to 2 s from the last heartbeat, and a gateway has to find the new leader. */
const ELECTION_MS = 5_000;
/** A strict request that met the beginning of a fault may wait as long. */
const DETECTION_MS = 1_000;
/** Most of the requests; not all: a condition may fail by a race, a request may meet an election that loss or delay brings about. */
const MOST = 0.8;
const HALF = 0.5;
/** Of the caches' answers: they ask nobody. */
const NEARLY_ALL = 0.95;
/** Probes are due every 500 ms, and a tail of the feed that was lost is pulled after each of them. */
const FRESH_MS = 4_000;

const GATEWAY1: Part = 'gateway1';
const GATEWAY2: Part = 'gateway2';
const BOTH: readonly Part[] = [GATEWAY1, GATEWAY2];
const FOLLOWERS = ['follower1', 'follower2'] as const;
const MEMBERS = ['leader', ...FOLLOWERS] as const;
/** Every link among three members. */
const LINKS = [
  { from: ['leader'], to: FOLLOWERS },
  { from: ['follower1'], to: ['follower2'] },
] as const;

function strictAnswered(
  gateways: readonly Part[],
  shareMin = MOST,
  settleMs: number = DETECTION_MS,
): Expectation {
  return { kind: 'answered', tier: 'strict', gateways, shareMin, settleMs };
}
function contentAnswered(gateways: readonly Part[] = BOTH): Expectation {
  return { kind: 'answered', tier: 'content', gateways, shareMin: NEARLY_ALL, settleMs: 0 };
}
function refused(gateways: readonly Part[]): Expectation {
  return { kind: 'refused', gateways };
}
function ageGrows(gateways: readonly Part[]): Expectation {
  return { kind: 'ageGrows', gateways };
}
function fresh(gateways: readonly Part[]): Expectation {
  return { kind: 'fresh', gateways, belowMs: FRESH_MS, settleMs: DETECTION_MS };
}
/** Cut off from every majority: what is strict is refused, content is answered and says how old it is. */
function cutOff(gateways: readonly Part[]): readonly Expectation[] {
  return [refused(gateways), contentAnswered(gateways), ageGrows(gateways)];
}
/** All goes on as if nothing were wrong, once a leader is there. */
function goesOn(
  shareMin = MOST,
  settleMs = DETECTION_MS,
  gateways: readonly Part[] = BOTH,
): readonly Expectation[] {
  return [strictAnswered(gateways, shareMin, settleMs), contentAnswered(gateways)];
}

/** One step: these faults, held for a while. */
function once(
  name: string,
  sentence: string,
  faults: readonly PlannedFault[],
  expect: readonly Expectation[],
  options: { readonly members?: 3 | 5; readonly holdMs?: number } = {},
): Plan {
  const { members = 3, holdMs = HOLD_MS } = options;
  const step: Step = { atMs: WARM_UP_MS, holdMs, faults, expect, whenReady: true };
  return {
    kind: 'scenario',
    name,
    sentence,
    members,
    steps: [step],
    lengthMs: WARM_UP_MS + holdMs + CALM_MS,
  };
}

function cut(from: readonly Role[], to: readonly Role[]): PlannedFault {
  return { kind: 'cut', from, to };
}
const partitions: readonly Plan[] = [
  once(
    'isolate-leader',
    'The leader is cut off from the other members; gateways and NATS reach everybody. The others elect, and everything goes on.',
    [cut(['leader'], FOLLOWERS)],
    goesOn(MOST, ELECTION_MS),
  ),
  once(
    'isolate-follower',
    'One follower is cut off from the other members. Nobody needs it.',
    [cut(['follower1'], ['leader', 'follower2'])],
    goesOn(MOST, ELECTION_MS),
  ),
  once(
    'split-1-2',
    'The leader and gateway 1 on one side, the majority, gateway 2 and NATS on the other. The small side refuses what is strict and shows content with its age; the large side goes on.',
    [cut(['leader', GATEWAY1], [...FOLLOWERS, GATEWAY2, 'nats'])],
    [...cutOff([GATEWAY1]), ...goesOn(MOST, ELECTION_MS, [GATEWAY2])],
  ),
  once(
    'split-2-3',
    'The same among five: the leader, a follower and gateway 1 here, three members, gateway 2 and NATS there.',
    [cut(['leader', 'follower1', GATEWAY1], ['follower2', 'follower3', 'follower4', GATEWAY2, 'nats'])],
    [...cutOff([GATEWAY1]), ...goesOn(MOST, ELECTION_MS, [GATEWAY2])],
    { members: 5 },
  ),
  once(
    'all-apart',
    'No member hears another one. Nothing strict is answered anywhere, content everywhere.',
    [cut(['leader'], FOLLOWERS), cut(['follower1'], ['follower2'])],
    [refused(BOTH), contentAnswered(BOTH), ageGrows(BOTH)],
  ),
  once(
    'bridge',
    "Five members: two here, two there, and one that hears both sides. A majority is to be had on the leader's side.",
    [cut(['leader', 'follower1'], ['follower3', 'follower4'])],
    goesOn(MOST, ELECTION_MS),
    { members: 5 },
  ),
  once(
    'one-link-cut',
    'The leader and one follower do not hear each other; the third member hears both.',
    [cut(['leader'], ['follower1'])],
    goesOn(MOST, ELECTION_MS),
  ),
  once(
    'one-way',
    'The followers no longer hear the leader, which still hears them.',
    [{ kind: 'cutOneWay', from: ['leader'], to: FOLLOWERS }],
    goesOn(MOST, ELECTION_MS),
  ),
  once(
    'one-way-back',
    'The leader no longer hears its followers, which still hear it. It has to step down by itself.',
    [{ kind: 'cutOneWay', from: FOLLOWERS, to: ['leader'] }],
    goesOn(MOST, ELECTION_MS + DETECTION_MS),
  ),
  once(
    'ring',
    'Five members in a ring: each hears its two neighbours only.',
    [
      cut(['leader'], ['follower2', 'follower3']),
      cut(['follower1'], ['follower3', 'follower4']),
      cut(['follower2'], ['follower4']),
    ],
    goesOn(HALF, ELECTION_MS),
    { members: 5 },
  ),
  once(
    'flapping-link',
    'The link between the leader and a follower comes and goes.',
    [{ kind: 'flap', from: ['leader'], to: ['follower1'], cutMs: 700, healedMs: 700 }],
    goesOn(HALF, ELECTION_MS),
  ),
  once(
    'flapping-leader',
    'All links of the leader come and go. Elections are to be expected; wrong answers are not.',
    [{ kind: 'flap', from: ['leader'], to: FOLLOWERS, cutMs: 1_500, healedMs: 1_500 }],
    [contentAnswered()],
    { holdMs: 15_000 },
  ),
];

const poorLinks: readonly Plan[] = [
  once(
    'loss',
    'A fifth of everything between members is lost.',
    LINKS.map((link) => ({ kind: 'loss', percent: 20, ...link })),
    [strictAnswered(BOTH, HALF, ELECTION_MS), contentAnswered()],
  ),
  once(
    'delay',
    'Everything between members takes 100 ms more, give or take 50.',
    LINKS.map((link) => ({ kind: 'delay', ms: 100, jitterMs: 50, ...link })),
    goesOn(HALF, ELECTION_MS),
  ),
  once(
    'slow-link',
    'The leader has 64 KiB a second to each of its followers.',
    [{ kind: 'slowLink', from: ['leader'], to: FOLLOWERS, bytesPerSecond: 65_536 }],
    goesOn(HALF, ELECTION_MS),
  ),
];

const processes: readonly Plan[] = [
  once(
    'pause-leader',
    'The leader is stopped where it stands, and goes on later without knowing that time passed.',
    [{ kind: 'pause', parts: ['leader'] }],
    goesOn(MOST, ELECTION_MS),
  ),
  once(
    'pause-gateway',
    'Gateway 1 is stopped where it stands, and must not take its cache for fresh when it goes on.',
    [{ kind: 'pause', parts: [GATEWAY1] }],
    goesOn(MOST, DETECTION_MS, [GATEWAY2]),
    { holdMs: 6_000 },
  ),
  once(
    'kill-leader',
    'kill -9 of the leader.',
    [{ kind: 'kill', parts: ['leader'] }],
    goesOn(MOST, ELECTION_MS),
  ),
  once(
    'kill-gateway',
    'kill -9 of gateway 1. The other one does not notice.',
    [{ kind: 'kill', parts: [GATEWAY1] }],
    goesOn(MOST, DETECTION_MS, [GATEWAY2]),
    { holdMs: 5_000 },
  ),
  once(
    'kill-majority',
    'kill -9 of two members of three: strict requests are refused, content is answered and says how old it is.',
    [{ kind: 'kill', parts: ['leader', 'follower1'] }],
    cutOff(BOTH),
  ),
  once(
    'kill-all',
    'kill -9 of all members at once. The gateways are alone with what they hold.',
    [{ kind: 'kill', parts: MEMBERS }],
    cutOff(BOTH),
  ),
  {
    kind: 'scenario',
    name: 'rolling-restart',
    sentence: 'Each member is stopped orderly and started again, the next when all is ready.',
    members: 3,
    // Who leads changes with a restart, so they are named by their numbers.
    steps: [0, 1, 2].map((round) => ({
      atMs: WARM_UP_MS + round * 6_000,
      holdMs: 3_000,
      faults: [{ kind: 'stop', parts: [`store${round + 1}`] }],
      expect: [strictAnswered(BOTH, HALF, DETECTION_MS), contentAnswered()],
      whenReady: true,
    })),
    lengthMs: WARM_UP_MS + 18_000 + CALM_MS,
  },
];

const fanOut: readonly Plan[] = [
  once(
    'nats-cut',
    'NATS is cut off from all. The feed goes over links, and content stays fresh.',
    [cut(['nats'], [...MEMBERS, ...BOTH])],
    [...goesOn(), fresh(BOTH)],
  ),
  once('nats-killed', 'kill -9 of NATS.', [{ kind: 'kill', parts: ['nats'] }], [...goesOn(), fresh(BOTH)]),
  once(
    'gateway-without-store',
    'Gateway 2 is cut off from all members, and not from NATS: what arrives by the feed proves no freshness.',
    [cut([GATEWAY2], MEMBERS)],
    [...cutOff([GATEWAY2]), ...goesOn(MOST, DETECTION_MS, [GATEWAY1])],
  ),
  once(
    'gateway-without-nats',
    'Gateway 2 is cut off from NATS, and not from the members: it pulls what it misses.',
    [cut([GATEWAY2], ['nats'])],
    [...goesOn(), fresh(BOTH)],
  ),
  once(
    'gateway-alone',
    'Gateway 2 is cut off from everybody.',
    [cut([GATEWAY2], [...MEMBERS, 'nats'])],
    [...cutOff([GATEWAY2]), ...goesOn(MOST, DETECTION_MS, [GATEWAY1])],
  ),
];

const lateFeed: readonly Plan[] = [
  once(
    'feed-late',
    'What NATS sends to gateway 2 comes 400 ms late: the feed says what changed, and never how fresh the cache is.',
    [{ kind: 'delay', from: ['nats'], to: [GATEWAY2], ms: 400, jitterMs: 0 }],
    [...goesOn(), fresh(BOTH)],
  ),
  once(
    'feed-flapping',
    'Members lose NATS and find it again, so that the feed of both gateways has gaps.',
    [{ kind: 'flap', from: ['nats'], to: MEMBERS, cutMs: 1_500, healedMs: 1_000 }],
    [...goesOn(), fresh(BOTH)],
    { holdMs: 15_000 },
  ),
];

const clocks: readonly Plan[] = [
  once(
    'clock-forward',
    'The wall clock of the leader jumps 90 s forward.',
    [{ kind: 'clock', parts: ['leader'], offsetMs: 90_000 }],
    goesOn(),
    { holdMs: 6_000 },
  ),
  once(
    'clock-back',
    'The wall clock of the leader jumps 90 s back.',
    [{ kind: 'clock', parts: ['leader'], offsetMs: -90_000 }],
    goesOn(),
    { holdMs: 6_000 },
  ),
  once(
    'clocks-apart',
    'The wall clock of gateway 1 jumps 90 s forward, that of gateway 2 90 s back, that of a follower an hour forward.',
    [
      { kind: 'clock', parts: [GATEWAY1], offsetMs: 90_000 },
      { kind: 'clock', parts: [GATEWAY2], offsetMs: -90_000 },
      { kind: 'clock', parts: ['follower1'], offsetMs: 3_600_000 },
    ],
    goesOn(),
    { holdMs: 6_000 },
  ),
];

const disks: readonly Plan[] = [
  once(
    'disk-full',
    'The disk of the leader is full. It ends rather than acknowledge what is not on a disk.',
    [{ kind: 'diskFull', part: 'leader' }],
    goesOn(MOST, ELECTION_MS),
  ),
  once(
    'disk-read-only',
    'The disk of the leader becomes read-only.',
    [{ kind: 'diskReadOnly', part: 'leader' }],
    goesOn(MOST, ELECTION_MS),
  ),
  once(
    'slow-sync',
    'Each sync of the leader takes 200 ms more.',
    [{ kind: 'slowSync', part: 'leader', ms: 200 }],
    goesOn(HALF, ELECTION_MS),
  ),
  once(
    'hung-disk',
    'No write of the leader returns. Another member has to lead.',
    [{ kind: 'hungDisk', part: 'leader' }],
    goesOn(HALF, ELECTION_MS + 5_000),
    { holdMs: 20_000 },
  ),
  once(
    'power-cut',
    'The power of the leader goes: its file system loses what was not synced.',
    [{ kind: 'powerCut', part: 'leader' }],
    goesOn(MOST, ELECTION_MS),
  ),
  once(
    'power-cut-all',
    'The power of all members goes at once.',
    MEMBERS.map((part) => ({ kind: 'powerCut', part })),
    cutOff(BOTH),
  ),
  once(
    'memory-limit',
    'The leader may use 80 MiB: the kernel kills it as soon as it wants more.',
    [{ kind: 'memoryLimit', part: 'leader', bytes: 80 * 1024 * 1024 }],
    goesOn(HALF, ELECTION_MS),
  ),
];

/** A sync that began while the disk was slow takes as long, also when the disk is quick again. */
const SLOW_VOTE_MS = 3_000;
const APART_MS = 6_000;
const VOTED_MS = 2_000;
/** A member whose disk is still being slowed down cannot lose its power yet. */
const QUICK_AGAIN_MS = 600;

/**
 * Votes are asked for while all disks are slow; then those that gave theirs lose their power, and elect again without the one whom they had voted for.
 * Two leaders of one term, if votes are not on disk before they are told.
 */
const votesAndPower: Plan = {
  kind: 'scenario',
  name: 'votes-and-power',
  sentence:
    'Members are apart, then they elect while their disks are slow. The followers lose their power at once, and elect again without the leader.',
  members: 3,
  steps: [
    {
      atMs: WARM_UP_MS,
      holdMs: APART_MS,
      faults: [cut(['leader'], FOLLOWERS), cut(['follower1'], ['follower2'])],
      expect: [contentAnswered()],
      whenReady: true,
    },
    {
      atMs: WARM_UP_MS,
      holdMs: APART_MS + VOTED_MS,
      faults: MEMBERS.map((part) => ({ kind: 'slowSync', part, ms: SLOW_VOTE_MS })),
      expect: [contentAnswered()],
      whenReady: false,
    },
    {
      atMs: WARM_UP_MS + APART_MS + VOTED_MS + QUICK_AGAIN_MS,
      holdMs: 12_000,
      faults: [cut(['leader'], FOLLOWERS)],
      expect: [contentAnswered()],
      whenReady: false,
    },
    {
      atMs: WARM_UP_MS + APART_MS + VOTED_MS + QUICK_AGAIN_MS,
      holdMs: 1_000,
      faults: FOLLOWERS.map((part) => ({ kind: 'powerCut', part })),
      expect: [contentAnswered()],
      whenReady: false,
    },
  ],
  lengthMs: WARM_UP_MS + APART_MS + VOTED_MS + 12_000 + CALM_MS,
};

/** All scenarios, in the order of the table. */
export const scenarios: readonly Plan[] = [
  ...partitions,
  ...poorLinks,
  ...processes,
  ...fanOut,
  ...lateFeed,
  ...clocks,
  ...disks,
  votesAndPower,
];

/** Those of CI: one of each sort that every driver can do. */
export const SCENARIOS_OF_CI: readonly string[] = ['split-1-2', 'kill-all', 'gateway-without-store'];
