import type { Part } from '../fault.js';

const TIMEOUT_MS = 2_000;

/** Where a gateway is; `https` ones are reached through a forwarder, so this is always plain HTTP. */
export interface GatewayAddress {
  readonly host: string;
  readonly port: number;
}

/** What one gateway says of the whole cluster. */
export interface ClusterView {
  readonly quorum: boolean;
  readonly leader: number | null;
  readonly members: readonly MemberView[];
}

interface MemberView {
  readonly id: number;
  /** Null: this gateway does not reach it. */
  readonly status: {
    readonly leader: number | null;
    readonly quorum: boolean;
    readonly recovering: boolean;
    readonly diverged: boolean;
    readonly diskStalled: boolean;
  } | null;
}

/** Null: no answer, or another one than 200. */
export async function clusterView(address: GatewayAddress, token: string): Promise<ClusterView | null> {
  const answer = await ask(address, '/v1/cluster', token);
  return answer === null ? null : (answer as ClusterView);
}

/** Whom those gateways that see a quorum take for the leader; null: nobody is known. */
export async function leaderOf(addresses: readonly GatewayAddress[], token: string): Promise<Part | null> {
  const views = await Promise.all(addresses.map((address) => clusterView(address, token)));
  const leader = views.find((view) => view?.quorum === true && view.leader !== null)?.leader;
  return leader === undefined || leader === null ? null : `store${leader}`;
}

/** Every gateway is ready, reaches every member, and every member takes part under one leader. */
export async function allTakePart(addresses: readonly GatewayAddress[], token: string): Promise<boolean> {
  const answers = await Promise.all(
    addresses.map(async (address) => ({
      isReady: (await ask(address, '/readyz', token)) !== null,
      view: await clusterView(address, token),
    })),
  );
  const leaders = new Set(answers.map(({ view }) => view?.leader ?? null));
  return (
    leaders.size === 1 &&
    !leaders.has(null) &&
    answers.every(({ isReady, view }) => isReady && view !== null && isWhole(view))
  );
}

function isWhole({ quorum, leader, members }: ClusterView): boolean {
  return (
    quorum &&
    members.every(
      ({ status }) =>
        status !== null &&
        status.leader === leader &&
        status.quorum &&
        !status.recovering &&
        !status.diverged &&
        !status.diskStalled,
    )
  );
}

/** The body of an answer 200; else null. A forwarder may accept before anybody listens behind it: hence the time limit. */
async function ask({ host, port }: GatewayAddress, path: string, token: string): Promise<unknown> {
  try {
    const answer = await fetch(`http://${host}:${port}${path}`, {
      headers: { authorization: `Bearer ${token}` },
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const text = await answer.text();
    return answer.status === 200 ? JSON.parse(text) : null;
  } catch {
    return null;
  }
}
