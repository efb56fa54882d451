import { execFileSync } from 'node:child_process';
import type { Found, Wanted } from '../packages.js';

export const HOST = '127.0.0.1';

/** One server of a peer: its ports and its folder, which is empty at the first start. */
export interface PeerNode {
  readonly index: number;
  readonly folder: string;
  /** Three each, the first is for clients. */
  readonly ports: readonly [number, number, number];
}

export interface ServerCommand {
  readonly command: string;
  readonly parameters: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
}

/** A peer that can be had on this machine. */
export interface Peer {
  readonly name: 'etcd' | 'zookeeper' | 'nats' | 'redis';
  /** Name and version, as it is named in every sentence. */
  readonly title: string;
  readonly origin: string;
  /** Whether an acknowledged write is on the disks of a majority. */
  readonly isDurable: boolean;
  readonly durability: string;
  readonly reads: string;
  readonly nodes: number;
  /** So long it is used before it is measured. */
  readonly warmMs: number;
  command(node: PeerNode, all: readonly PeerNode[]): ServerCommand;
  /** Whether this server leads now. */
  leads(node: PeerNode, all: readonly PeerNode[]): Promise<boolean>;
}

/** How a peer's program is found, and what is made of it; `make` throws when the program does not run here. */
export interface PeerKind {
  readonly wanted: Wanted;
  readonly make: (found: Found) => Peer;
}

/** What a program prints; throws when it fails. */
export function printed(
  command: string,
  parameters: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): string {
  const env = { ...process.env, ...environment };
  return execFileSync(command, parameters, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    env,
  }).trim();
}
