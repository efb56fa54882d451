// One mutation, in a process of its own: `node --import test/loader/register.mjs test/mutations/find.ts FINDER BUDGET HINT`, with
// the mutation in SOURCE_MUTATION. Prints one line of JSON. HINT: what found it last time, tried before all others: the
// number of the seed or the scenario, or the beginning of the world's name; empty: none.
import type { Finder } from './catalogue.js';

/** What a search came back with. `effort`: seeds, scenarios, states or crash points until then. */
export interface Finding {
  readonly violation: string | null;
  readonly effort: number;
  readonly seconds: number;
}

const FAULT_PHASE_MS = 6_000;

async function search(finder: Finder, seedsMax: number, hint: string): Promise<Omit<Finding, 'seconds'>> {
  switch (finder) {
    case 'simulator':
      return simulateSeeds(seedsMax, Number(hint));
    case 'directed scenarios':
      return runScenarios(Number(hint));
    case 'core scenarios': {
      const { searchScenarios } = await import('../../libs/raft/src/play-scenarios.testing.js');
      const { violation, played } = searchScenarios();
      return { violation, effort: played };
    }
    case 'small scope': {
      const { BUILD_WORLDS, searchSmallScope } = await import('../../libs/raft/src/small-scope.testing.js');
      const isHinted = ({ name }: { name: string }): boolean => hint !== '' && name.startsWith(hint);
      const others = BUILD_WORLDS.filter((world) => !isHinted(world));
      const { violation, states } = searchSmallScope([...BUILD_WORLDS.filter(isHinted), ...others]);
      return { violation: firstLine(violation), effort: states };
    }
    case 'captures': {
      const { searchCaptures } = await import('../../libs/kv/src/search-captures.testing.js');
      const { violation, snapshots } = searchCaptures();
      return { violation: firstLine(violation), effort: snapshots };
    }
    case 'keys': {
      const { searchKeys } = await import('../../libs/kv/src/search-keys.testing.js');
      const { violation, looks } = searchKeys();
      return { violation: firstLine(violation), effort: looks };
    }
    case 'peeks': {
      const { searchPeeks } = await import('../../libs/cache/src/cached-view-worlds.testing.js');
      const { violation, worlds } = searchPeeks();
      return { violation: firstLine(violation), effort: worlds };
    }
    case 'crash points': {
      const { searchCrashPoints } = await import('../../libs/wal/src/crash-points.testing.js');
      const { violation, outcomes } = searchCrashPoints();
      return { violation: firstLine(violation), effort: outcomes };
    }
    case 'setting aside': {
      const { searchSetAside } = await import('../../libs/wal/src/set-aside.testing.js');
      const { violation, outcomes } = searchSetAside();
      return { violation: firstLine(violation), effort: outcomes };
    }
    case 'disk faults': {
      const { searchDiskFaults } = await import('../../libs/wal/src/disk-faults.testing.js');
      const { violation, outcomes } = searchDiskFaults();
      return { violation: firstLine(violation), effort: outcomes };
    }
    case 'damage': {
      const { searchDamage } = await import('../../libs/wal/src/damage.testing.js');
      const { violation, outcomes } = searchDamage();
      return { violation: firstLine(violation), effort: outcomes };
    }
  }
}

async function simulateSeeds(seedsMax: number, hint: number): Promise<Omit<Finding, 'seconds'>> {
  const { simulate } = await import('../../apps/simulator/src/simulation.js');
  const seeds = Array.from({ length: seedsMax }, (_, index) => index + 1);
  for (const seed of hint > 0 ? [hint, ...seeds] : seeds) {
    const { violation } = simulate(seed, { faultPhaseMs: FAULT_PHASE_MS });
    if (violation !== null) return { violation: violation.checker, effort: seed };
  }
  return { violation: null, effort: seedsMax };
}

async function runScenarios(hint: number): Promise<Omit<Finding, 'seconds'>> {
  const { SCENARIOS } = await import('../../apps/simulator/src/scenarios.js');
  const scenarios = Object.entries(SCENARIOS);
  const numbers = scenarios.map((_, index) => index + 1);
  for (const number of hint > 0 ? [hint, ...numbers] : numbers) {
    const [name, run] = scenarios[number - 1] ?? [];
    try {
      run?.();
    } catch {
      return { violation: name ?? '', effort: number };
    }
  }
  return { violation: null, effort: scenarios.length };
}

/** Where it was seen, without the details behind. */
function firstLine(violation: string | null): string | null {
  return violation?.split('\n')[0]?.split(': ')[0] ?? null;
}

const startedMs = performance.now();
const found = await search(process.argv[2] as Finder, Number(process.argv[3]), process.argv[4] ?? '');
const finding: Finding = { ...found, seconds: (performance.now() - startedMs) / 1000 };
process.stdout.write(`${JSON.stringify(finding)}\n`);
