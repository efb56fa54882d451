import { parseArgs } from 'node:util';
import { PEER_NAMES, type PeerName } from './peers.js';

export const SUITES = ['throughput', 'visibility', 'refusal', 'failover', 'state', 'cost'] as const;
export type Suite = (typeof SUITES)[number];

export interface Options {
  readonly suites: readonly Suite[];
  readonly peers: readonly PeerName[];
  readonly repetitions: number;
  readonly seconds: number;
  readonly entryCounts: readonly number[];
  readonly quick: boolean;
  readonly json: string | null;
  readonly plot: string | null;
}

export const HELP = `npm run bench -- [options]: Quorate beside its peers, on this machine, in one run. Build first: npm run build.

Three servers of each product and the load generator share the cores; values of 256 bytes, always varied, 10,000 keys, closed loops,
every write synced where the product can. Only ratios within one run mean something; CPU seconds per 10,000 operations is the steadiest
figure. Peers come from PATH or from Debian packages, which are unpacked into a temporary folder and never installed; one that cannot be
had is left out, and the report says so.

  --quick            etcd alone; writes and linearizable reads, 64 and 256 clients; about two minutes
  --suite A,B        of ${SUITES.join(', ')}; default: all
                       throughput  writes, reads and access checks; SDK, REST and NATS
                       visibility  from a write's acknowledgement until a gateway shows it
                       refusal     how soon a request is refused without quorum
                       failover    how long writes stand still when the leader goes (ours; npm run bench:failover has more)
                       state       memory and restart with many entries
                       cost        against cluster size, value size and number of keys
  --peers A,B        of ${PEER_NAMES.join(', ')}; default: all; none: only ours
  --repetitions N    default 3; products take turns
  --seconds N        of each closed loop; default 3
  --entries N,M      for state; default 100000. The goals are stated for 1000000, which takes several minutes
  --json FILE        all figures, of each repetition
  --plot FILE        the ratios with floor and aim, as SVG
  --help

A full run takes about three quarters of an hour, on a machine that does nothing else.
npm run bench:ci measures CPU per operation beside a fixed loop, within a minute.
`;

/** Null: help is asked for. Throws an Error with a sentence for the user. */
export function parseOptions(parameters: readonly string[]): Options | null {
  const { values } = parseArgs({
    args: [...parameters],
    options: {
      quick: { type: 'boolean', default: false },
      suite: { type: 'string' },
      peers: { type: 'string' },
      repetitions: { type: 'string' },
      seconds: { type: 'string' },
      entries: { type: 'string', default: '100000' },
      json: { type: 'string' },
      plot: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return null;
  const { quick } = values;
  return {
    suites: quick ? ['throughput'] : chosen('--suite', values.suite, SUITES),
    peers: quick ? ['etcd'] : values.peers === 'none' ? [] : chosen('--peers', values.peers, PEER_NAMES),
    repetitions: positive('--repetitions', values.repetitions ?? '3'),
    seconds: positive('--seconds', values.seconds ?? (quick ? '1.2' : '3')),
    entryCounts: values.entries.split(',').map((text) => positive('--entries', text)),
    quick,
    json: values.json ?? null,
    plot: values.plot ?? null,
  };
}

function chosen<Name extends string>(
  option: string,
  text: string | undefined,
  of: readonly Name[],
): readonly Name[] {
  if (text === undefined) return of;
  return text.split(',').map((wanted) => {
    const name = of.find((known) => known === wanted);
    if (name === undefined) throw new Error(`${option}: "${wanted}" is none of ${of.join(', ')}.`);
    return name;
  });
}

function positive(option: string, text: string): number {
  const number = Number(text);
  if (!(number > 0)) throw new Error(`${option} must be a number above 0, not "${text}".`);
  return number;
}
