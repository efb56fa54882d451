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
  | { readonly type: 'status' }
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
  | { readonly type: 'feedKey' }
  /** From now on the store pushes feed messages over this link as they are published (until it closes). */
  | { readonly type: 'feedSubscribe' };

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
  | { readonly type: 'status'; readonly status: MemberStatus }
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
  | { readonly type: 'feedKey'; readonly key: Uint8Array }
  | { readonly type: 'subscribed' };

export type StoreResponse = StoreAnswer | StoreFailure;
