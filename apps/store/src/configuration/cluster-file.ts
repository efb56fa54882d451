import { readFileSync } from 'node:fs';
import { QuorateError, parseClusterFile } from '@quorate/api';
import type { ClusterFile, ClusterMember } from '@quorate/api';
import { StartError } from './configuration.js';

/** A cluster as cluster.json describes it, and the member that this process is. */
export interface OwnCluster {
  readonly cluster: ClusterFile;
  readonly self: ClusterMember;
}

/** Reads cluster.json and finds this member in it. Throws StartError. */
export function readClusterFile(path: string, member: number): OwnCluster {
  const cluster = parse(path);
  const self = cluster.members.find(({ id }) => id === member);
  if (self === undefined) {
    const ids = cluster.members.map(({ id }) => id).join(', ');
    throw new StartError(`${path} lists no member ${member}; it lists ${ids}.`);
  }
  return { cluster, self };
}

function parse(path: string): ClusterFile {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new StartError(`The cluster file ${path} cannot be read: ${errorText(error)}.`);
  }
  try {
    return parseClusterFile(text);
  } catch (error) {
    if (error instanceof QuorateError) throw new StartError(`${path}: ${error.message}`);
    throw error;
  }
}

/** The text of an error that was caught. */
export function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
