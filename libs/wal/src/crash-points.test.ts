import { describe, expect, it } from 'vitest';
import { searchCrashPoints } from './crash-points.testing.js';
import { searchDiskFaults } from './disk-faults.testing.js';
import { searchSetAside } from './set-aside.testing.js';

describe('every disk operation of scripted workloads', () => {
  it('P9, P10, P12, P17, P19, P20: power loss before each one, with every outcome for what was not synced: recovers, and loses nothing', () => {
    const { violation, crashPoints, outcomes } = searchCrashPoints();
    expect(violation).toBeNull();
    // The search is deterministic: less than this means that it no longer looks where it did.
    expect(crashPoints).toBeGreaterThan(2_000);
    expect(outcomes).toBeGreaterThan(110_000);
  }, 120_000);

  it('P20, P22: each error of the disk at each one, then death of the process or power loss: loses nothing that was reported', () => {
    const { violation, crashPoints, outcomes } = searchDiskFaults();
    expect(violation).toBeNull();
    expect(crashPoints).toBeGreaterThan(3_000);
    expect(outcomes).toBeGreaterThan(125_000);
  }, 120_000);

  it('P10, P18, P19, P20: a log is set aside, again and again cut short: as it was, or to be done again, or anew with its recovery', () => {
    const { violation, crashPoints, outcomes } = searchSetAside();
    expect(violation).toBeNull();
    expect(crashPoints).toBeGreaterThan(5_000);
    expect(outcomes).toBeGreaterThan(24_000);
  }, 120_000);
});
