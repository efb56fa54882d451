import { natsPortOf, portsOf } from '@quorate/api';
import type { PlannedMember } from './cluster-file.js';
import { CommandError } from './command-error.js';

/** Port numbers of one development cluster, all from one base. */
export interface DevPlan {
  readonly members: readonly PlannedMember[];
  readonly natsPort: number;
}

/** Lays out a cluster on 127.0.0.1: NATS on base + 1, member i on base + 10 i and base + 10 i + 1. */
export function planDevCluster(memberCount: number, basePort: number): DevPlan {
  const members = Array.from({ length: memberCount }, (_, position) => {
    const id = position + 1;
    return { id, host: '127.0.0.1', ...portsOf(basePort, id) };
  });
  return { members, natsPort: natsPortOf(basePort) };
}

/** The base port that a development cluster's member 1 was planned from. */
export function basePortOf(members: readonly PlannedMember[]): number {
  const first = members.find((member) => member.id === 1);
  if (first === undefined) throw new CommandError('cluster.json has no member 1.');
  return first.linkPort - portsOf(0, 1).linkPort;
}

/** Lays out a cluster of one member per host, the same ports everywhere. */
export function planHosts(
  hosts: readonly string[],
  memberCount: number,
  linkPort: number,
  healthPort: number,
): readonly PlannedMember[] {
  if (hosts.length !== memberCount) {
    throw new CommandError(
      `--hosts names ${hosts.length} hosts, but --members is ${memberCount}: name one host per member.`,
    );
  }
  if (new Set(hosts).size !== hosts.length) {
    throw new CommandError('--hosts names a host twice: every member needs a host of its own.');
  }
  if (linkPort === healthPort) throw new CommandError('--link-port and --health-port must differ.');
  return hosts.map((host, position) => ({ id: position + 1, host, linkPort, healthPort }));
}

/** A number of members: odd, because one more than an odd number lets no further member fail. */
export function parseMemberCount(text: string): number {
  if (!/^[1-7]$/.test(text) || Number(text) % 2 === 0) {
    throw new CommandError(
      `--members must be 1, 3, 5 or 7, not "${text}" (an even number tolerates no more failures).`,
    );
  }
  return Number(text);
}

/** A TCP port that an unprivileged process may use, and the highest that a plan derives from it still fits. */
export function parsePort(option: string, text: string, highest = 65_535): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : NaN;
  if (!(port >= 1 && port <= highest)) {
    throw new CommandError(`${option} must be a port from 1 to ${highest}, not "${text}".`);
  }
  return port;
}

/** Parses `1=/data1`: the folder of one member. */
export function parseDataFolder(text: string): { readonly id: number; readonly folder: string } {
  const match = /^([1-9]\d{0,4})=(.+)$/.exec(text);
  if (match === null) throw new CommandError(`--data must look like 1=/folder, not "${text}".`);
  return { id: Number(match[1]), folder: match[2] ?? '' };
}
