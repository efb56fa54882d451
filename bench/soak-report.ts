import { type AuditRow, type MemoryTrend, memoryTrend } from './soak-audit.js';
import type { LossFigures, Phase, SoakLoad, Times } from './soak-load.js';

const MIB = 1024 * 1024;

export interface TimesFigures {
  readonly count: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

export interface PhaseRow extends TimesFigures {
  readonly phase: Phase;
  readonly asked: number;
  readonly answersPerSecond: number;
}

export interface MemoryRow extends MemoryTrend {
  /** `member`, `gateway`, `nats` or `soak`. */
  readonly role: string;
  /** Of the longest life of this role; a restarted process begins a new one. Bytes are MiB here. */
  readonly lives: number;
  readonly maxMib: number;
}

export interface SoakFigures {
  readonly seed: number;
  readonly seconds: number;
  readonly kills: Readonly<Record<string, number>>;
  readonly violations: number;
  readonly stories: readonly string[];
  readonly audit: readonly AuditRow[];
  readonly visibility: readonly (TimesFigures & { readonly what: string })[];
  readonly lookP50Ms: number;
  readonly phases: readonly PhaseRow[];
  readonly loss: LossFigures;
  readonly memory: readonly MemoryRow[];
  readonly counts: Readonly<Record<string, number>>;
}

/** One life of a process: its name and what it held, in bytes, every few seconds. */
export interface Life {
  readonly name: string;
  readonly bytes: number[];
}

export function figuresOf(
  load: SoakLoad,
  run: Pick<SoakFigures, 'seed' | 'seconds' | 'kills'>,
  lives: readonly Life[],
  phaseSeconds: Readonly<Record<Phase, number>>,
): SoakFigures {
  return {
    ...run,
    violations: load.violations,
    stories: load.stories,
    audit: load.tally.rows(),
    visibility: [...load.visibility]
      .map(([what, times]) => ({ what, ...timesOf(times) }))
      .toSorted((one, other) => one.what.localeCompare(other.what)),
    lookP50Ms: timesOf(load.looks).p50Ms,
    phases: (['before', 'during', 'after'] as const).map((phase) => {
      const { times, asked, answered } = load.phases[phase];
      return { phase, asked, answersPerSecond: answered / phaseSeconds[phase], ...timesOf(times) };
    }),
    loss: load.loss,
    memory: memoryRows(lives),
    counts: Object.fromEntries([...load.counts].toSorted(([one], [other]) => one.localeCompare(other))),
  };
}

function timesOf({ histogram, maxMs }: Times): TimesFigures {
  const ms = (share: number): number => histogram.quantileUs(share) / 1_000;
  return { count: histogram.total, p50Ms: ms(0.5), p99Ms: ms(0.99), maxMs };
}

function memoryRows(lives: readonly Life[]): readonly MemoryRow[] {
  const roles = [...new Set(lives.map(({ name }) => roleOf(name)))].toSorted();
  return roles.map((role) => {
    const own = lives.filter(({ name }) => roleOf(name) === role);
    const longest = own.toSorted((one, other) => other.bytes.length - one.bytes.length)[0]?.bytes ?? [];
    const trend = memoryTrend(longest.map((bytes) => bytes / MIB));
    const maxMib = Math.max(0, ...own.map(({ bytes }) => Math.max(0, ...bytes))) / MIB;
    return { role, lives: own.length, maxMib, ...trend };
  });
}

function roleOf(name: string): string {
  return name.replace(/\d+$/, '');
}

/** The figures for people, as lines. */
export function reportOf(figures: SoakFigures): readonly string[] {
  const { seed, seconds, kills, audit, visibility, phases, loss, memory, counts, violations } = figures;
  const killed = Object.entries(kills).map(([part, count]) => `${count} ${part}`);
  const ms = (value: number): string => (Number.isNaN(value) ? '-' : value.toFixed(1)).padStart(9);
  const rounded = (value: number): string => (Number.isNaN(value) ? '-' : value.toFixed(0)).padStart(6);
  const times = ({ count, p50Ms, p99Ms, maxMs }: TimesFigures): string =>
    `${String(count).padStart(8)} ${ms(p50Ms)} ${ms(p99Ms)} ${ms(maxMs)}`;
  return [
    `Soak of ${seconds.toFixed(0)} s, seed ${seed}; killed: ${killed.join(', ') || 'nothing'}`,
    '',
    'Audit of acknowledged writes       ok  stale  unavailable   nines',
    ...audit.map(
      (row) =>
        `  after ${String(row.windowSeconds).padStart(2)} s at gateway ${row.gateway + 1} ${String(row.ok).padStart(12)} ` +
        `${String(row.stale).padStart(6)} ${String(row.unavailable).padStart(12)}   ${row.nines}`,
    ),
    '',
    `Acknowledged -> visible (looks are ${figures.lookP50Ms.toFixed(1)} ms apart, median)   count       p50       p99       max ms`,
    ...visibility.map((row) => `  ${row.what.padEnd(54)} ${times(row)}`),
    '',
    'Eventual reads around the loss of all members   asked   answers/s    count       p50       p99       max ms',
    ...phases.map(
      (row) =>
        `  ${row.phase.padEnd(44)} ${String(row.asked).padStart(6)} ${row.answersPerSecond.toFixed(1).padStart(11)} ${times(row)}`,
    ),
    `  while none ran: ${loss.answers} answers, staleness ${rounded(loss.firstMs).trim()} to ${rounded(loss.lastMs).trim()} ms, ` +
      `at most ${rounded(loss.excessMaxMs).trim()} ms above the time since the last member was gone; ` +
      `${loss.withoutQuorum} said quorum=?0, ${loss.withoutBound} stated no bound`,
    '',
    'Memory, MiB   lives  samples   first third   last third   largest of all',
    ...memory.map(
      (row) =>
        `  ${row.role.padEnd(10)} ${String(row.lives).padStart(6)} ${String(row.samples).padStart(8)} ${rounded(row.first).padStart(13)} ` +
        `${rounded(row.last).padStart(12)} ${rounded(row.maxMib).padStart(16)}   ${row.word}`,
    ),
    '',
    ...Object.entries(counts).map(([what, count]) => `${String(count).padStart(9)}  ${what}`),
    '',
    violations === 0 ? 'No violation.' : `${violations} VIOLATIONS`,
  ];
}
