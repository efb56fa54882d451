import { describe, expect, it } from 'vitest';
import { searchDamage } from './damage.testing.js';
import { searchSilentFaults } from './silent-faults.testing.js';

describe('damage to a log that was reported durable', () => {
  it('P17, P21: bits, lengths, stray records, segments and snapshots out of place: refused, or nothing is lost', () => {
    const { violation, outcomes, shortened } = searchDamage();
    expect(violation).toBeNull();
    expect(outcomes).toBeGreaterThan(40_000);
    // The known limit: the end of the log is gone, and with it all that could tell of it.
    expect(shortened).toBeGreaterThan(0);
  }, 120_000);

  it('P17, P21: a write that the disk lost or misdirected in silence: refused, unless nothing on the disk can tell', () => {
    const { violation, crashPoints, outcomes, shortened } = searchSilentFaults();
    expect(violation).toBeNull();
    expect(crashPoints).toBeGreaterThan(6_500);
    expect(outcomes).toBeGreaterThan(11_000);
    expect(shortened).toBeGreaterThan(0);
  }, 120_000);
});
