import type { LogEntry } from '@quorate/raft';
import { describe, expect, it } from 'vitest';
import type { Disk } from './disk.js';
import { formatWal, readIdentity } from './segment.js';
import { DIRECTORY, entry, hardState, IDENTITY, SimulatedMachine } from './simulated-machine.testing.js';
import { openWal } from './wal.js';
import type { WalBatch } from './wal.js';

const OPTIONS = { segmentBytesMax: 2048 };

class PowerLoss extends Error {}

/** What the world was told. */
interface Ledger {
  readonly acknowledged: { readonly term: number; readonly vote: number | null }[];
}

/** A workload with batches, votes, replaced entries, unsynced commits and rotations, each batch with its effect. */
function workload(): { batch: WalBatch; log: LogEntry[] }[] {
  const steps: { batch: WalBatch; log: LogEntry[] }[] = [];
  let log: LogEntry[] = [];
  const add = (next: WalBatch['hardState'], entries: LogEntry[], sync = true): void => {
    const first = entries[0];
    if (first !== undefined) log = [...log.slice(0, first.index - 1), ...entries];
    steps.push({ batch: { hardState: next, entries, sync }, log });
  };
  add(hardState(1, 1, 0), []);
  add(null, [entry(1, 1, null), entry(2, 1, 'a'.repeat(700))]);
  add(null, [entry(3, 1, 'b'), entry(4, 1, 'c'.repeat(1200)), entry(5, 1, 'd')]);
  add(hardState(1, 1, 2), [], false);
  add(hardState(2, null, 2), []);
  add(hardState(2, 3, 2), []);
  add(hardState(2, 3, 3), [entry(4, 2, 'other'), entry(5, 2, 'e'.repeat(900))]);
  add(null, [entry(6, 2, 'f'.repeat(600))]);
  add(hardState(3, 2, 6), []);
  add(null, [entry(7, 3, null)]);
  add(hardState(3, 2, 7), [entry(8, 3, 'g'.repeat(1500))]);
  add(null, [entry(9, 3, 'h')]);
  add(hardState(4, null, 8), [entry(9, 4, 'i'), entry(10, 4, 'j'.repeat(1400))]);
  return steps;
}

/** Runs the workload until the machine stops. Returns whether it came to the end. */
function run(machine: SimulatedMachine, disk: Disk, ledger: Ledger): boolean {
  let failed = false;
  try {
    formatWal(disk, DIRECTORY, IDENTITY);
    const { wal } = openWal(disk, DIRECTORY, OPTIONS);
    let state: { term: number; vote: number | null } = { term: 0, vote: null };
    for (const { batch } of workload()) {
      if (batch.hardState !== null) state = { term: batch.hardState.term, vote: batch.hardState.vote };
      const told = state;
      wal.append(batch, (error) => {
        if (error === null) ledger.acknowledged.push(told);
        else failed = true;
      });
      if (machine.random() < 0.5) machine.runOne();
      if (failed) return false;
    }
    machine.runAll();
    wal.close(() => {});
    return !failed;
  } catch (error) {
    if (error instanceof PowerLoss) return false;
    throw error;
  }
}

function isSame(log: readonly LogEntry[], other: readonly LogEntry[]): boolean {
  return log.length === other.length && log.every((one, position) => isSameEntry(one, other[position]));
}

function isSameEntry(one: LogEntry, other: LogEntry | undefined): boolean {
  return (
    other !== undefined &&
    one.index === other.index &&
    one.term === other.term &&
    one.kind === other.kind &&
    Buffer.compare(one.payload, other.payload) === 0
  );
}

/** The complaint of a checker that knows what was acknowledged, or null. */
function check(machine: SimulatedMachine, ledger: Ledger): string | null {
  const last = ledger.acknowledged.at(-1);
  if (readIdentity(machine.disk, DIRECTORY) === null) return last === undefined ? null : 'the log is gone';
  const { recovered } = openWal(machine.disk, DIRECTORY, OPTIONS);
  const lastTerm = recovered.entries.at(-1)?.term ?? 0;
  if (lastTerm > recovered.hardState.term) return 'an entry is from a term that the log does not know';
  if (last !== undefined) {
    if (recovered.hardState.term < last.term) return 'the term went back';
    if (
      recovered.hardState.term === last.term &&
      last.vote !== null &&
      recovered.hardState.vote !== last.vote
    ) {
      return 'the vote is gone';
    }
  }
  const possible = statesFrom(ledger.acknowledged.length);
  if (possible.some((log) => isSame(log, recovered.entries))) return null;
  const isKnown = statesFrom(0).some((log) => isSame(log, recovered.entries));
  return isKnown ? 'an acknowledged entry is gone' : 'an entry was invented';
}

/** Each log that may be found if the first `acknowledged` batches survived and any number of records after them. */
function statesFrom(acknowledged: number): LogEntry[][] {
  const steps = workload();
  const states = [steps[acknowledged - 1]?.log ?? []];
  for (const { batch } of steps.slice(acknowledged)) {
    for (const one of batch.entries) states.push([...(states.at(-1) ?? []).slice(0, one.index - 1), one]);
  }
  return states;
}

/** Stops the machine before its n-th I/O call, pulls the plug, and says what is wrong afterwards. */
function crashAt(call: number, seed: number, wrap: (disk: Disk) => Disk = (disk) => disk) {
  const machine = new SimulatedMachine(seed);
  const ledger: Ledger = { acknowledged: [] };
  let calls = 0;
  machine.disk.onOperation = () => {
    calls += 1;
    if (calls >= call) throw new PowerLoss();
  };
  const finished = run(machine, wrap(machine.disk), ledger);
  machine.disk.onOperation = null;
  machine.disk.crash();
  let complaint: string | null;
  try {
    complaint = check(machine, ledger);
  } catch (error) {
    complaint = String(error);
  }
  // A second power loss, right after the recovery, must find the same.
  if (complaint === null) {
    machine.disk.crash();
    complaint = check(machine, ledger);
  }
  return { finished, complaint, acknowledged: ledger.acknowledged.length };
}

describe('power loss at every I/O call', () => {
  it('P12, P17: whatever was reported durable is there afterwards, and nothing is invented', () => {
    const complaints: string[] = [];
    let runs = 0;
    let acknowledgedMost = 0;
    for (let seed = 1; seed <= 20; seed += 1) {
      for (let call = 1; ; call += 1) {
        const { finished, complaint, acknowledged } = crashAt(call, seed);
        runs += 1;
        acknowledgedMost = Math.max(acknowledgedMost, acknowledged);
        if (complaint !== null) complaints.push(`seed ${seed}, call ${call}: ${complaint}`);
        if (finished) break;
      }
    }
    expect(complaints).toEqual([]);
    expect(runs).toBeGreaterThan(500);
    expect(acknowledgedMost).toBe(workload().length);
  });

  /** The checker must be able to see what each rule prevents: the same runs with the rule broken. */
  function complaintsWith(wrap: (disk: Disk) => Disk): Set<string> {
    const complaints = new Set<string>();
    for (let seed = 1; seed <= 10; seed += 1) {
      for (let call = 5; call <= 45; call += 2) {
        const { complaint } = crashAt(call, seed, wrap);
        if (complaint !== null) complaints.add(complaint);
      }
    }
    return complaints;
  }

  it('P19: without the fsync of the folder the same runs lose what was acknowledged', () => {
    const complaints = complaintsWith((disk) => withMethods(disk, { syncDirectory: () => {} }));
    expect([...complaints]).toContain('the log is gone');
  });

  it('P12: with a sync that reports before it has synced the same runs lose what was acknowledged', () => {
    const complaints = complaintsWith((disk) =>
      withMethods(disk, {
        openFile: (path, options) => {
          const file = disk.openFile(path, options);
          return {
            get size() {
              return file.size;
            },
            read: (position, length) => file.read(position, length),
            write: (chunks, position) => file.write(chunks, position),
            sync: (callback) => callback(null),
            syncNow: () => file.syncNow(),
            close: () => file.close(),
          };
        },
      }),
    );
    expect([...complaints]).toContain('an acknowledged entry is gone');
  });
});

function withMethods(disk: Disk, methods: Partial<Disk>): Disk {
  return {
    makeDirectory: (path) => disk.makeDirectory(path),
    list: (path) => disk.list(path),
    readFile: (path) => disk.readFile(path),
    openFile: (path, options) => disk.openFile(path, options),
    rename: (from, to) => disk.rename(from, to),
    remove: (path) => disk.remove(path),
    syncDirectory: (path) => disk.syncDirectory(path),
    ...methods,
  };
}
