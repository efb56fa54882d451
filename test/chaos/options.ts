import { parseArgs } from 'node:util';
import type { DriverName } from './cluster.js';
import type { Plan } from './plan.js';
import { SCENARIOS_OF_CI, scenarios } from './scenarios.js';

export const USAGE = `npm run chaos -- [--scenario NAME[,NAME]|all] [--nemesis] [--ci] ...

  --scenario NAME[,NAME]   these scenarios; "all": every one; --list prints them
  --nemesis                random faults by seed, --minutes 5 long, --rounds 1 times on a new cluster each
  --calm                   no faults for --minutes: clients and verdict only, while somebody else may do something to the cluster
  --ci                     the share of CI: a few scenarios and a short nemesis with a fresh seed
  --driver NAME            proxies, namespaces, compose or deployment
  --members 3|5            of the nemesis; of scenarios: only those for so many
  --seed N                 fresh unless told
  --workloads A,B          all unless told
  --rate 300               requests a second of all clients together, at most
  --operations 1000000     a run ends orderly when it has made so many
  --out FOLDER             keeps every run there; unless told only failed ones are kept, in chaos-runs
  --table FILE             writes the table as Markdown
  --judge FOLDER           judges a kept run once more and writes its report anew
  --gateways URL,URL --token-file FILE [--fault-command COMMAND] [--ca-file FILE] [--nats]
                           a cluster of your own (driver deployment), of --members 3
`;

const DRIVERS: readonly DriverName[] = ['proxies', 'namespaces', 'compose', 'deployment'];
/** A nemesis shorter than this has no time for a fault. */
const MINUTES_MIN = 0.25;
const MINUTES_MAX = 24 * 60;

/** What a program of CI does with each driver, so that it fits into the time that CI has for it. */
const CI_SHARE: Readonly<
  Record<DriverName, { readonly scenarios: number; readonly nemesisSeconds: number }>
> = {
  proxies: { scenarios: SCENARIOS_OF_CI.length, nemesisSeconds: 50 },
  namespaces: { scenarios: 2, nemesisSeconds: 30 },
  compose: { scenarios: 1, nemesisSeconds: 45 },
  deployment: { scenarios: 0, nemesisSeconds: 60 },
};

export interface NemesisWish {
  readonly runMs: number;
  readonly rounds: number;
  readonly members: 3 | 5;
  /** Without any fault. */
  readonly isCalm: boolean;
}

export interface Wish {
  readonly driver: DriverName;
  readonly scenarios: readonly Plan[];
  readonly nemesis: NemesisWish | null;
  readonly seed: number;
  /** Null: all. */
  readonly workloads: readonly string[] | null;
  readonly requestsPerSecondMax: number;
  readonly operationsMax: number;
  /** Null: only failed runs are kept. */
  readonly out: string | null;
  readonly tableFile: string | null;
  readonly deployment: DeploymentWish | null;
}

/** As the driver wants it. */
export interface DeploymentWish {
  readonly gateways: string;
  readonly adminTokenFile: string;
  readonly faultCommand?: string;
  readonly caFile?: string;
  readonly nats?: string;
}

/** What is wrong with the words of a command line. */
export class UsageError extends Error {}

/** `freshSeed`: unless one is told. Throws UsageError. */
export function readOptions(
  words: readonly string[],
  freshSeed: number,
): Wish | 'list' | { readonly judge: string } {
  const values = parse(words);
  if (values.list === true) return 'list';
  if (values.judge !== undefined) return { judge: values.judge };
  const driver = driverOf(values.driver ?? (values.gateways === undefined ? 'proxies' : 'deployment'));
  // Somebody's own cluster has as many as it has.
  const members = membersOf(values.members) ?? (driver === 'deployment' ? 3 : null);
  const isCi = values.ci === true;
  const share = CI_SHARE[driver];
  const named = namesOf(values.scenario) ?? (isCi ? SCENARIOS_OF_CI.slice(0, share.scenarios) : []);
  const minutes = numberOf(
    'minutes',
    values.minutes ?? (isCi ? String(share.nemesisSeconds / 60) : '5'),
    MINUTES_MIN,
    MINUTES_MAX,
  );
  const isCalm = values.calm === true;
  const isNemesis = values.nemesis === true || isCalm || isCi;
  if (named.length === 0 && !isNemesis)
    throw new UsageError('nothing to do: --scenario, --nemesis, --calm or --ci');
  return {
    driver,
    scenarios: chosen(named).filter((one) => members === null || one.members === members),
    nemesis: isNemesis
      ? {
          runMs: minutes * 60_000,
          rounds: numberOf('rounds', values.rounds ?? '1', 1, 100_000),
          members: members ?? 3,
          isCalm,
        }
      : null,
    seed: values.seed === undefined ? freshSeed : numberOf('seed', values.seed, 0, Number.MAX_SAFE_INTEGER),
    workloads: namesOf(values.workloads),
    requestsPerSecondMax: numberOf('rate', values.rate ?? '300', 1, 100_000),
    operationsMax: numberOf('operations', values.operations ?? '1000000', 1, 100_000_000),
    out: values.out ?? null,
    tableFile: values.table ?? null,
    deployment: deploymentOf(driver, values),
  };
}

function parse(words: readonly string[]) {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean' } as const;
  try {
    return parseArgs({
      args: [...words],
      options: {
        scenario: text,
        nemesis: flag,
        ci: flag,
        calm: flag,
        list: flag,
        driver: text,
        members: text,
        seed: text,
        minutes: text,
        rounds: text,
        workloads: text,
        rate: text,
        operations: text,
        out: text,
        table: text,
        judge: text,
        gateways: text,
        'token-file': text,
        'fault-command': text,
        'ca-file': text,
        nats: flag,
      },
    }).values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

function driverOf(name: string): DriverName {
  const driver = DRIVERS.find((one) => one === name);
  if (driver === undefined) throw new UsageError(`--driver: one of ${DRIVERS.join(', ')}`);
  return driver;
}

function membersOf(text: string | undefined): 3 | 5 | null {
  if (text === undefined) return null;
  if (text === '3') return 3;
  if (text === '5') return 5;
  throw new UsageError('--members: 3 or 5');
}

function numberOf(name: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (text.trim() === '' || !(value >= min && value <= max))
    throw new UsageError(`--${name}: ${min} to ${max}`);
  return value;
}

function namesOf(text: string | undefined): readonly string[] | null {
  return text === undefined ? null : text.split(',').filter((name) => name !== '');
}

function chosen(names: readonly string[]): readonly Plan[] {
  if (names.includes('all')) return scenarios;
  return names.map((name) => {
    const scenario = scenarios.find((one) => one.name === name);
    if (scenario === undefined) throw new UsageError(`there is no scenario ${name}; --list prints them`);
    return scenario;
  });
}

function deploymentOf(driver: DriverName, values: ReturnType<typeof parse>): DeploymentWish | null {
  if (driver !== 'deployment') return null;
  const { gateways, 'token-file': adminTokenFile, 'fault-command': faultCommand, 'ca-file': caFile } = values;
  if (gateways === undefined || adminTokenFile === undefined) {
    throw new UsageError('driver deployment: --gateways URL,URL and --token-file FILE');
  }
  return {
    gateways,
    adminTokenFile,
    ...(faultCommand === undefined ? {} : { faultCommand }),
    ...(caFile === undefined ? {} : { caFile }),
    ...(values.nats === true ? { nats: 'yes' } : {}),
  };
}
