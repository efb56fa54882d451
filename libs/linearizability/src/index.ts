export { checkByKey, KEY_CHECK_DEFAULTS } from './check-by-key.js';
export type { KeyCheckCounts, KeyCheckOptions, KeyVerdict } from './check-by-key.js';
export type { HistoryOperation, ReadOperation, Verdict, WriteOperation, WriteOutcome } from './history.js';
export type { RevisionMeaning } from './register.js';
export { checkRevisionSweep } from './revision-sweep.js';
export { toPorcupine } from './porcupine.js';
export { renderTimeline } from './timeline.js';
export type { Conviction } from './timeline.js';
