import { checkAccessFences } from './access-fence-checker.js';
import { checkCacheContent } from './cache-content-checker.js';
import { checkDecisions } from './decision-checker.js';
import { checkExactlyOnce } from './exactly-once-checker.js';
import { checkKeyLinearizability } from './key-linearizability-checker.js';
import { checkLinearizability } from './linearizability-checker.js';
import { checkLostWrites } from './lost-write-checker.js';
import { checkOutcomes } from './outcome-checker.js';
import { checkPhantomWrites } from './phantom-write-checker.js';
import { checkReaders } from './reader-checker.js';
import { checkRefusals } from './refusal-checker.js';
import { checkSessions } from './session-checker.js';
import { checkSnapshotReads } from './snapshot-read-checker.js';
import { checkStaleness } from './staleness-checker.js';
import type { Story } from './story.js';
import { checkNoStrictCacheReads } from './strict-cache-checker.js';
import { checkTokenFences } from './token-fence-checker.js';

/** What can only be judged from the whole story: one file and one line for each. */
const CHECKS: readonly ((story: Story) => void)[] = [
  checkPhantomWrites,
  checkExactlyOnce,
  checkOutcomes,
  checkRefusals,
  checkLostWrites,
  checkSnapshotReads,
  checkLinearizability,
  checkKeyLinearizability,
  checkNoStrictCacheReads,
  checkCacheContent,
  checkStaleness,
  checkSessions,
  checkReaders,
  checkAccessFences,
  checkTokenFences,
  checkDecisions,
];

export function judge(story: Story): void {
  for (const check of CHECKS) check(story);
}
