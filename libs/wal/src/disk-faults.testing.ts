import { complainIf, Examiner, isDiskError, Player, search, Violation } from './crash-points.testing.js';
import type { SearchResult } from './crash-points.testing.js';
import type { SimulatedDisk } from './simulated-disk.js';
import { DIRECTORY } from './simulated-machine.testing.js';
import { openWal } from './wal.js';
import { SNAPSHOT_WORKLOADS, WORKLOADS } from './workloads.testing.js';
import type { Workload } from './workloads.testing.js';

/** Errors that a disk reports (P20) or should have (P22): one fault at each operation of the workloads that can have it. */
export type ReportedFault = 'EIO' | 'ENOSPC' | 'short' | 'short, then ENOSPC' | 'sync fails' | 'sync hangs';

export const FAULTS_BY_OPERATION: Readonly<Record<string, readonly ReportedFault[]>> = {
  makeDirectory: ['EIO', 'ENOSPC'],
  create: ['EIO', 'ENOSPC'],
  rename: ['EIO', 'ENOSPC'],
  remove: ['EIO'],
  syncDirectory: ['EIO'],
  write: ['EIO', 'ENOSPC', 'short', 'short, then ENOSPC'],
  sync: ['sync fails', 'sync hangs'],
  syncNow: ['sync fails'],
  // The fsync that is in flight fails while it runs.
  synced: ['sync fails'],
};

/** The outcomes of a fault-free run have been tried exhaustively elsewhere. */
const BOUNDS = { outer: 48, inner: 16 };

/** The others say more about errors, and in less time. */
const FAULTLESS = new Set([
  'torn batches',
  'a reset in a torn batch',
  'entries that replaced those of a removed segment',
]);
const FAULTY_WORKLOADS = [...WORKLOADS, ...SNAPSHOT_WORKLOADS].filter(({ name }) => !FAULTLESS.has(name));

/** Counts the operations of a workload, and says what each one is. */
function operationsOf(workload: Workload): string[] {
  const operations: string[] = [];
  const player = new Player(workload);
  player.disk.onOperation = (operation) => operations.push(operation);
  player.run();
  return operations;
}

export function inject(disk: SimulatedDisk, fault: ReportedFault, operation: string): void {
  if (fault === 'sync fails') disk.nextSyncFails = true;
  else if (fault === 'sync hangs') disk.hangSyncs = true;
  else if (operation === 'write') disk.nextWriteFault = fault === 'short, then ENOSPC' ? 'short' : fault;
  else throw Object.assign(new Error(`${fault}: simulated, ${operation}`), { code: fault });
}

/** Plays a workload with one fault; whatever the log makes of it, what it reported durable must survive both sorts of death. */
function playWithFault(examiner: Examiner, workload: Workload, at: number, fault: ReportedFault): void {
  const player = new Player(workload);
  const { disk } = player;
  let count = 0;
  disk.onOperation = (operation) => {
    // Counted first: a snapshot's failure does not end the log, and one error is one error.
    count += 1;
    if (count === at + 1) inject(disk, fault, operation);
    if (count === at + 2 && fault === 'short, then ENOSPC') disk.nextWriteFault = 'ENOSPC';
  };
  player.run();
  disk.onOperation = null;
  disk.nextSyncFails = false;
  disk.nextWriteFault = null;
  if (fault === 'short') complainIf(player.ended ? 'a short write ended the log' : null);
  examiner.powerLoss(player);
  examiner.processDeath(player);
  readError(player);
}

/** EIO while a log is read: an error with its code, nothing changed, and the next try reads it. */
function readError(player: Player): void {
  if (!player.formatted) return;
  const disk = player.disk.fork();
  disk.kill();
  disk.nextReadFails = true;
  disk.onOperation = (operation) => {
    throw new Violation(`${operation} after a read error`);
  };
  try {
    openWal(disk, DIRECTORY, player.workload.options);
  } catch (error) {
    complainIf(isDiskError(error) ? null : `a read error became ${String(error)}`);
    return;
  }
  throw new Violation('a read error was overlooked');
}

/** One disk error at each operation of each workload, then every outcome of a power loss and a death of the process. */
export function searchDiskFaults(workloads: readonly Workload[] = FAULTY_WORKLOADS): SearchResult {
  const examiner = new Examiner(BOUNDS);
  return search(examiner, () => {
    for (const workload of workloads) {
      for (const [at, operation] of operationsOf(workload).entries()) {
        for (const fault of FAULTS_BY_OPERATION[operation] ?? []) {
          try {
            playWithFault(examiner, workload, at, fault);
          } catch (error) {
            const what = error instanceof Violation ? error.message : String(error);
            const place = `${workload.name}, ${fault} at operation ${at + 1} (${operation})`;
            throw new Violation(`${place}: ${what}`, { cause: error });
          }
        }
      }
    }
  });
}
