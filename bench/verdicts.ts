import {
  ABOVE,
  CHECKS,
  FIRST_REFUSAL,
  LATER_REFUSAL,
  MEMBER_CPU,
  MEMORY,
  READS,
  RESTART,
  REST_READS,
  REST_WRITES,
  VISIBILITY,
  WRITES,
  type Goal,
  type Verdict,
} from './goals.js';
import type { OperationName } from './adapters/adapter.js';
import type { ClientName } from './adapters/connect.js';
import { median } from './measure.js';
import type { Peer } from './servers/peer.js';
import type { Point } from './point.js';
import { quorateTitle } from './quorate-cluster.js';
import type { Refusal } from './refusal.js';
import type { Results } from './results.js';
import { VIEW_WAY, VIEW_WAY_BY_LINK, WATCH_WAY, type Visibility } from './visibility.js';

/** Everything that this run can show of what must be shown; a case whose figures are missing is left out. */
export function verdictsOf(results: Results, peers: readonly Peer[]): Verdict[] {
  const sheet = new Sheet(results, peers);
  return [
    ...[64, 256].flatMap((clients) => sheet.writesOverOneLink(clients)),
    ...[64, 256].flatMap((clients) =>
      sheet.points(
        'linearizable writes over 64 links',
        'quorate-sdk-64',
        'etcd-grpc-64',
        'put',
        clients,
        WRITES,
      ),
    ),
    ...sheet.memberCpu(),
    ...[64, 256].flatMap((clients) => [
      ...sheet.points('linearizable reads, SDK to store', 'quorate-sdk', 'etcd-grpc', 'read', clients, READS),
      ...sheet.points(
        'linearizable reads, SDK to store',
        'quorate-sdk',
        'zookeeper-8',
        'read',
        clients,
        ABOVE,
      ),
    ]),
    ...sheet.points('REST at a gateway: writes', 'quorate-rest', 'etcd-json', 'put', 64, REST_WRITES),
    ...sheet.points(
      'REST at a gateway: eventual reads',
      'quorate-rest',
      'etcd-json',
      'nearRead',
      64,
      REST_READS,
    ),
    ...sheet.checks(),
    ...sheet.refusals(),
    ...sheet.visibility(),
    ...sheet.states(),
  ];
}

class Sheet {
  readonly #results: Results;
  readonly #peers: readonly Peer[];
  readonly #own = quorateTitle();

  constructor(results: Results, peers: readonly Peer[]) {
    this.#results = results;
    this.#peers = peers;
  }

  writesOverOneLink(clients: number): Verdict[] {
    const ours = this.#rate('quorate-sdk', 'put', clients);
    const durable = this.#peers
      .filter(({ isDurable }) => isDurable)
      .map(({ name }) =>
        this.#rate(
          name === 'etcd' ? 'etcd-grpc' : name === 'nats' ? 'nats-kv' : 'zookeeper-8',
          'put',
          clients,
        ),
      )
      .filter((rate) => rate !== null)
      .toSorted((one, other) => other.value - one.value);
    return compared(
      'linearizable writes, SDK over one link, beside the best durable peer',
      `${clients} clients`,
      ours,
      durable[0] ?? null,
      WRITES,
    );
  }

  points(
    line: string,
    own: ClientName,
    peer: ClientName,
    operation: OperationName,
    clients: number,
    goal: Goal,
  ): Verdict[] {
    const [ours, theirs] = [this.#rate(own, operation, clients), this.#rate(peer, operation, clients)];
    const what = clients === 64 && /rest|json/.test(own) ? '64 connections' : `${clients} clients`;
    return compared(line, what, ours, theirs, goal);
  }

  memberCpu(): Verdict[] {
    const cpu = (client: ClientName): Figure | null =>
      this.#figure(client, 'put', 256, ({ serverCpuPer10k }) => serverCpuPer10k);
    const line = 'CPU of all members per write';
    return compared(line, '256 clients, one link', cpu('quorate-sdk'), cpu('etcd-grpc'), MEMBER_CPU);
  }

  checks(): Verdict[] {
    const ours = this.#rate('quorate-sdk', 'check', 64);
    return ours === null
      ? []
      : [absolute('access checks, 4 policies, SDK', '64 clients', ours.value, CHECKS)];
  }

  refusals(): Verdict[] {
    const own = this.#results.refusals.filter(({ title }) => title === this.#own);
    const verdicts = (what: string, of: readonly Refusal[]): Verdict[] => {
      if (of.length === 0) return [];
      const first = median(of.map(({ firstMs }) => firstMs));
      const later = median(of.map(({ laterMs }) => laterMs));
      return [
        absolute('refusal without quorum: the first', what, first, FIRST_REFUSAL),
        absolute('refusal without quorum: later ones', what, later, LATER_REFUSAL),
      ];
    };
    const found = (['put', 'read'] as const).flatMap((operation) =>
      (['quorate-sdk-hasty', 'quorate-rest'] as const).flatMap((client) => {
        const of = own.filter((one) => one.operation === operation && one.client === client);
        const words = `${operation === 'put' ? 'write' : 'linearizable read'}, ${client === 'quorate-rest' ? 'REST' : 'SDK'}`;
        return [
          ...verdicts(
            `${words}, others stand still`,
            of.filter(({ fault }) => fault === 'SIGSTOP'),
          ),
          ...verdicts(
            `${words}, others killed`,
            of.filter(({ fault }) => fault === 'SIGKILL'),
          ),
        ];
      }),
    );
    return [FIRST_REFUSAL, LATER_REFUSAL].flatMap(({ floor }) => found.filter((one) => one.floor === floor));
  }

  visibility(): Verdict[] {
    const of = (
      isWanted: (one: Visibility) => boolean,
      figure: (one: Visibility) => number,
    ): Figure | null => {
      const wanted = this.#results.visibility.filter(isWanted);
      const title = wanted[0]?.title;
      return title === undefined ? null : { title, value: median(wanted.map(figure)) / 1_000 };
    };
    const etcd = this.#title('etcd');
    const [ownWay = VIEW_WAY_BY_LINK] = [VIEW_WAY, VIEW_WAY_BY_LINK].filter((way) =>
      this.#results.visibility.some((one) => one.way === way),
    );
    const line = 'acknowledged until visible in a gateway, 200 writes/s, beside a watch';
    const figures = {
      p50: (one: Visibility) => one.acknowledgedP50Us,
      p99: (one: Visibility) => one.acknowledgedP99Us,
    };
    return Object.entries(figures).flatMap(([name, figure]) => {
      const ours = of(({ title, way }) => title === this.#own && way === ownWay, figure);
      const theirs = of(({ title, way }) => title === etcd && way === WATCH_WAY, figure);
      return compared(line, name, ours, theirs, VISIBILITY);
    });
  }

  states(): Verdict[] {
    const { states } = this.#results;
    const counts = [...new Set(states.map(({ entries }) => entries))];
    return counts.flatMap((entries) => {
      const of = (title: string | null) =>
        states.find((one) => one.entries === entries && one.title === title);
      const [ours, theirs] = [of(this.#own), of(this.#title('etcd'))];
      if (ours === undefined || theirs === undefined) return [];
      const mib = (one: typeof ours): Figure => ({
        title: one.title,
        value: median(one.loaded.map(({ resident }) => resident)) / 1024 / 1024,
      });
      const ms = (one: typeof ours): Figure => ({ title: one.title, value: one.restartMs });
      const what = `${entries.toLocaleString('en-US')} entries of 256 B`;
      return [
        ...compared('memory of a member', what, mib(ours), mib(theirs), MEMORY),
        ...compared('restart to serving', what, ms(ours), ms(theirs), RESTART),
      ];
    });
  }

  #title(name: Peer['name']): string | null {
    return this.#peers.find((peer) => peer.name === name)?.title ?? null;
  }

  #rate(client: ClientName, operation: OperationName, clients: number): Figure | null {
    return this.#figure(client, operation, clients, ({ operationsPerSecond }) => operationsPerSecond);
  }

  #figure(
    client: ClientName,
    operation: OperationName,
    clients: number,
    figure: (point: Point) => number,
  ): Figure | null {
    const points = this.#results.throughput.filter(
      (point) => point.client === client && point.operation === operation && point.clients === clients,
    );
    const title = points[0]?.title;
    return title === undefined ? null : { title, value: median(points.map(figure)) };
  }
}

interface Figure {
  readonly title: string;
  readonly value: number;
}

function compared(
  line: string,
  what: string,
  ours: Figure | null,
  peer: Figure | null,
  goal: Goal,
): Verdict[] {
  if (ours === null || peer === null) return [];
  return [{ line, case: what, ours: ours.value, peer, ratio: ours.value / peer.value, ...goal }];
}

function absolute(line: string, what: string, ours: number, goal: Goal): Verdict {
  return { line, case: what, ours, peer: null, ratio: ours, ...goal };
}
