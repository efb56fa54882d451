export type { HistoryOperation, ReadOperation, Verdict, WriteOperation, WriteOutcome } from './history.js';
export { checkRevisionSweep } from './revision-sweep.js';
