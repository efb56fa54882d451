import type {
  ChangeBatch,
  Entry,
  NamespaceKind,
  NamespaceRecord,
  Operation,
  RegistrationStamp,
  Revision,
} from '@quorate/kv';
import type { StoreFailure } from './errors.js';
import type { Need } from './needs.js';
import type { TokenRecord } from './token-record.js';

/** What the other end of a link proved to be in its handshake. */
export type LinkRole = 'member' | 'gateway' | 'client';

export interface EntityReference {
  readonly type: string;
  readonly id: string;
}

export interface CheckRequest {
  readonly principal: EntityReference;
  readonly action: string;
  readonly resource: EntityReference;
  readonly context: Readonly<Record<string, unknown>>;
}

export interface Decision {
  readonly allowed: boolean;
  /** The access revision that the decision was made at. */
  readonly revision: Revision;
  /** Ids of the policies that determined it. */
  readonly policies: readonly string[];
  readonly reason: string;
}

export type PeerState = {
  readonly id: number;
  readonly reachable: boolean;
  /** Since when it has been in this state, milliseconds ago. */
  readonly sinceMs: number;
};

export interface MemberStatus {
  readonly id: number;
  readonly clusterId: string;
  readonly epoch: number;
  readonly role: 'leader' | 'follower' | 'candidate';
  readonly term: number;
  readonly leader: number | null;
  readonly quorum: boolean;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  readonly lastIndex: number;
  readonly revision: Revision;
  readonly stateHash: string;
  readonly entries: number;
  /** The lowest index that the log still holds. Everything below is in the snapshot only. */
  readonly firstIndex: number;
  /** The index that the newest durable snapshot stands for; 0: there is none. */
  readonly snapshotIndex: number;
  /** Bytes of the log's files, without snapshots. */
  readonly logBytes: number;
  /** The disk has not finished a write for so long that the member does not lead. */
  readonly diskStalled: boolean;
  /** Its state hash differs from the majority's at the same log index: it has stopped serving. */
  readonly diverged: boolean;
  /** It lost its folder, or its log was damaged: it follows, and neither votes nor acknowledges until the others have given it everything. */
  readonly recovering: boolean;
  readonly peers: readonly PeerState[];
}

/**
 * One request over a link, or in process in the simulator. `token` is the end caller's bearer token: rights are
 * checked in the store, whoever passes it on. Gateways never assert a principal.
 */
export type StoreRequest =
  | { readonly type: 'register' }
  | {
      readonly type: 'write';
      readonly token: string;
      readonly registration: RegistrationStamp;
      readonly idempotencyKey: string | null;
      /** A deletion in the namespace `tokens` may name the token by its id instead of its key. */
      readonly operation: Operation;
    }
  | { readonly type: 'get'; readonly token: string; readonly namespace: string; readonly key: string }
  | {
      readonly type: 'list';
      readonly token: string;
      readonly namespace: string;
      readonly prefix: string;
      readonly limit: number;
    }
  | { readonly type: 'namespace'; readonly token: string; readonly namespace: string }
  | { readonly type: 'namespaces'; readonly token: string }
  | { readonly type: 'check'; readonly token: string; readonly check: CheckRequest }
  /** Who is this, and may he do that? For what a gateway answers by itself. */
  | { readonly type: 'caller'; readonly token: string; readonly need: Need }
  /** Access tokens whose id begins with `prefix`, in order of id. `limit`: 1 to 1,000. */
  | { readonly type: 'tokens'; readonly token: string; readonly prefix: string; readonly limit: number }
  | { readonly type: 'status' }
  /**
   * Leader only. Hands leadership to member `to`, null: to the follower that is nearest. No data is touched, and a
   * request that is sent again when `to` leads already does nothing.
   */
  | { readonly type: 'transfer'; readonly token: string; readonly to: number | null }
  /** Takes a durable snapshot of the member that is asked. */
  | { readonly type: 'snapshot'; readonly token: string }
  /**
   * One chunk of a snapshot, for a backup. `index` null, with chunk 0: the leader first proves by a read barrier that it
   * leads, so that the backup holds every write acknowledged before; then come the other chunks of the index that it
   * answered, from any member that holds that snapshot. SNAPSHOT_GONE from one that does not.
   */
  | {
      readonly type: 'backup';
      readonly token: string;
      readonly index: number | null;
      readonly chunk: number;
    }
  /** The staleness probe: answered after a quorum round begun after its arrival. Roles gateway and client. */
  | { readonly type: 'probe' }
  /** Roles gateway only, from here on: published data of cached namespaces, no token. */
  /** `minRevision`: what the cache knows to exist. A member that is behind it and has nothing new says NOT_CAUGHT_UP. */
  | {
      readonly type: 'changes';
      readonly after: Revision;
      readonly minRevision: Revision;
      readonly bytesMax: number;
    }
  | { readonly type: 'resync' }
  | {
      readonly type: 'fill';
      readonly namespace: string;
      readonly key: string;
      readonly minRevision: Revision;
    }
  /** The entries of a cached namespace behind the key `after` (empty: from the start), in the order of keys, page by page. */
  | {
      readonly type: 'content';
      readonly namespace: string;
      readonly after: string;
      readonly minRevision: Revision;
      readonly bytesMax: number;
    }
  | { readonly type: 'feedKey' }
  /** From now on the store pushes feed messages over this link as they are published, until it closes or this is taken back. */
  | { readonly type: 'feedSubscribe' }
  | { readonly type: 'feedUnsubscribe' };

/** An access token as it is shown: never the token, and of its hash the beginning only. */
export interface TokenSummary extends TokenRecord {
  /** The first 12 hex digits of the hash. */
  readonly id: string;
  readonly createRevision: Revision;
}

/** A part of a snapshot, with what it takes to know that all parts are of the same one. */
export interface BackupChunk {
  readonly type: 'backupChunk';
  readonly clusterId: string;
  readonly epoch: number;
  /** The snapshot stands for all entries up to this index, whose term is `term`. */
  readonly index: number;
  readonly term: number;
  /** The revision of its content. */
  readonly revision: Revision;
  /** Counts from 0. */
  readonly chunk: number;
  readonly chunkCount: number;
  /** CRC-32 of the whole payload. */
  readonly digest: number;
  readonly data: Uint8Array;
}

export type StoreAnswer =
  | { readonly type: 'registered'; readonly clientId: number }
  | {
      readonly type: 'written';
      readonly revision: Revision;
      readonly created: boolean;
      readonly version: number;
      readonly createRevision: Revision;
      readonly head: Revision;
    }
  | {
      readonly type: 'entry';
      readonly entry: Entry | null;
      readonly kind: NamespaceKind;
      readonly head: Revision;
    }
  | {
      readonly type: 'entries';
      readonly entries: readonly Entry[];
      readonly truncated: boolean;
      readonly kind: NamespaceKind;
      readonly head: Revision;
    }
  | { readonly type: 'namespace'; readonly record: NamespaceRecord; readonly head: Revision }
  | { readonly type: 'namespaces'; readonly records: readonly NamespaceRecord[]; readonly head: Revision }
  | { readonly type: 'decision'; readonly decision: Decision; readonly head: Revision }
  | { readonly type: 'caller'; readonly principal: string; readonly head: Revision }
  | {
      readonly type: 'tokens';
      readonly tokens: readonly TokenSummary[];
      readonly truncated: boolean;
      readonly head: Revision;
    }
  | { readonly type: 'status'; readonly status: MemberStatus }
  /** `moved` false: the member asked for led already. */
  | { readonly type: 'transferred'; readonly leader: number; readonly moved: boolean }
  /** `taken` false: the newest durable snapshot was of the applied index already. */
  | {
      readonly type: 'snapshotTaken';
      readonly index: number;
      readonly revision: Revision;
      readonly payloadBytes: number;
      readonly taken: boolean;
    }
  | BackupChunk
  /** `published`: the newest revision that changed published data. A cache at or past it is as new as `head`. */
  | { readonly type: 'probed'; readonly epoch: number; readonly head: Revision; readonly published: Revision }
  | { readonly type: 'changes'; readonly batch: ChangeBatch; readonly published: Revision }
  | { readonly type: 'compacted'; readonly epoch: number; readonly oldest: Revision }
  /** The namespace records of every name ever used, at `revision`. A by-demand cache starts from here. */
  | {
      readonly type: 'resynced';
      readonly epoch: number;
      readonly revision: Revision;
      readonly namespaces: readonly NamespaceRecord[];
    }
  /** The entry, or its absence, as of `revision` (>= the minRevision asked for). */
  | {
      readonly type: 'filled';
      readonly epoch: number;
      readonly revision: Revision;
      readonly entry: Entry | null;
    }
  /** All entries from behind `after` to the last of these, as of `revision` (>= the minRevision asked for). `more`: there are others behind. */
  | {
      readonly type: 'content';
      readonly epoch: number;
      readonly revision: Revision;
      readonly entries: readonly Entry[];
      readonly more: boolean;
    }
  | { readonly type: 'feedKey'; readonly key: Uint8Array }
  | { readonly type: 'subscribed' }
  | { readonly type: 'unsubscribed' };

export type StoreResponse = StoreAnswer | StoreFailure;
