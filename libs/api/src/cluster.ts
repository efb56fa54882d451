import { createHash } from 'node:crypto';
import { z } from 'zod';
import { QuorateError } from './errors.js';

const HEX_16 = /^[0-9a-f]{16}$/;
const portSchema = z.int().min(1).max(65_535);

const clusterMemberSchema = z.strictObject({
  id: z.int().min(1).max(0xffff),
  host: z.string().regex(/^[A-Za-z0-9.:_-]{1,253}$/, 'is not a host name or an address'),
  linkPort: portSchema,
  healthPort: portSchema,
  /** Made when the member's data folder was formatted; a re-formatted one has another. */
  incarnation: z.string().regex(HEX_16, 'is not 16 lowercase hex digits'),
  /**
   * Of two members that could lead, the one with the higher number is handed leadership when nobody is named. 0 unless told otherwise. A hint that each
   * member reads for itself: it is no part of the list's hash, so it can be changed by a restart of one after the other.
   */
  priority: z.int().min(0).max(100).optional(),
});

/** cluster.json: who the members are. Made by `quorate dev` or an init job, the same file for every member and gateway. */
export const clusterFileSchema = z
  .strictObject({
    format: z.literal(1),
    clusterId: z.string().regex(HEX_16, 'is not 16 lowercase hex digits'),
    epoch: z.int().min(1).max(0xffff_ffff),
    members: z.array(clusterMemberSchema).min(1).max(15),
  })
  .refine((cluster) => new Set(cluster.members.map(({ id }) => id)).size === cluster.members.length, {
    message: 'names a member id twice',
    path: ['members'],
  });

/** One member in cluster.json. */
export type ClusterMember = z.infer<typeof clusterMemberSchema>;
/** The content of cluster.json. */
export type ClusterFile = z.infer<typeof clusterFileSchema>;

const CLUSTER_FILE_LENGTH_MAX = 64 * 1024;

/** Parses the text of cluster.json. Every fault is a QuorateError INVALID_REQUEST with a sentence for the operator. */
export function parseClusterFile(text: string): ClusterFile {
  const fault = (what: string, field?: string): QuorateError =>
    new QuorateError('INVALID_REQUEST', `cluster.json ${what}.`, field === undefined ? {} : { field });
  if (text.length > CLUSTER_FILE_LENGTH_MAX) throw fault('is larger than 64 KiB');
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw fault('is not JSON');
  }
  const parsed = clusterFileSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const field = issue?.path.map(String).join('.') ?? '';
  throw fault(`is not valid: ${field === '' ? '' : `${field}: `}${issue?.message ?? 'unknown fault'}`, field);
}

/**
 * Identifies the member list in handshakes: the first 16 hex digits of SHA-256 over the members, sorted by id, as JSON
 * with the fields in the order written here. The order within the file does not matter.
 */
export function memberListHash(list: readonly ClusterMember[]): string {
  const members = [...list]
    .sort((left, right) => left.id - right.id)
    .map(({ id, host, linkPort, healthPort, incarnation }) => ({
      id,
      host,
      linkPort,
      healthPort,
      incarnation,
    }));
  return createHash('sha256').update(JSON.stringify(members), 'utf8').digest('hex').slice(0, 16);
}

/** The first of the ports that a cluster on one machine takes, unless told otherwise. */
export const BASE_PORT = 7400;
/** The gateway's REST port, unless told otherwise. */
export const GATEWAY_PORT = 8080;

/** Ports of member `member` (from 1) on one machine: link at base + 10 i, health one above. */
export function portsOf(basePort: number, member: number): { linkPort: number; healthPort: number } {
  return { linkPort: basePort + 10 * member, healthPort: basePort + 10 * member + 1 };
}

/** The port of the NATS server on one machine: base + 1. */
export function natsPortOf(basePort: number): number {
  return basePort + 1;
}
