import assert from 'node:assert/strict';

declare const revisionBrand: unique symbol;
/** The state machine's own counter: +1 for each command that changed at least one entry or namespace. Not the log index. */
export type Revision = number & { readonly [revisionBrand]: true };

function assertRevision(value: number): asserts value is Revision {
  // No message is made for a number that is right: this is called for every one that is decoded.
  if (!(Number.isSafeInteger(value) && value >= 0)) assert.fail(`not a revision: ${value}`);
}
/** Brands a number as a revision; anything but a safe integer >= 0 is a programmer error. */
export function revision(value: number): Revision {
  assertRevision(value);
  return value;
}

/** `strict`: read linearizably, never from a cache. `cached`: may be read from a cache. A name keeps its kind for ever. */
export type NamespaceKind = 'strict' | 'cached';

/** The built-in strict namespace of policies and entities. Written through /v1/access only. */
export const ACCESS_NAMESPACE = 'access';
/**
 * The built-in cached namespace of access tokens: it travels in the published chain, so that whoever shows revision r
 * has applied every change of tokens up to r. Written through /v1/access/tokens only.
 */
export const TOKENS_NAMESPACE = 'tokens';

/** True for a namespace that is there from the start, keeps its record for ever, and has routes of its own. */
export function isBuiltInNamespace(name: string): boolean {
  return name === ACCESS_NAMESPACE || name === TOKENS_NAMESPACE;
}

export interface NamespaceRecord {
  readonly name: string;
  readonly kind: NamespaceKind;
  /** True: a tombstone. The name and its kind stay taken. */
  readonly deleted: boolean;
  /** When the record itself was last created, deleted or re-created, or its readers were set. */
  readonly revision: Revision;
  /** Equal to `revision` in the record of a creation, and in no other. */
  readonly createRevision: Revision;
  /** The principals that may read its entries, besides the admin; null: whoever may read at all. Never but of a cached namespace. */
  readonly readers: readonly string[] | null;
}

export interface Entry {
  readonly namespace: string;
  readonly key: string;
  /** Kept byte for byte. Never mutate it. */
  readonly value: Uint8Array;
  /** Of the last change. */
  readonly revision: Revision;
  /** 1 at creation, +1 for each change since. */
  readonly version: number;
  readonly createRevision: Revision;
}

export const NAMESPACE_PATTERN = /^[a-z0-9][a-z0-9-]{0,62}$/;
export const KEY_BYTES_MAX = 1024;
export const VALUE_BYTES_MAX = 512 * 1024;
export const LIST_LIMIT_MAX = 1000;
/** Of a list, whoever answers it: what does not fit is left out, and the list says that it is cut. The first entry always fits. */
export const LIST_BYTES_MAX = 1024 * 1024;

/** What an entry counts for in a list, in bytes: its value, its key, and about what is around them. */
export function listBytesOf(entry: Pick<Entry, 'key' | 'value'>): number {
  return entry.value.length + 2 * entry.key.length + 64;
}
export const READERS_MAX = 256;
export const READER_BYTES_MAX = 256;
/** Of the readers of all namespaces together: all records have to fit into one message to a cache that begins. */
export const READERS_TOTAL_BYTES_MAX = 512 * 1024;

export type Condition =
  | { readonly type: 'none' }
  | { readonly type: 'absent' }
  | { readonly type: 'present' }
  | { readonly type: 'revision'; readonly revision: Revision };

export interface PutOperation {
  readonly type: 'put';
  readonly namespace: string;
  readonly key: string;
  readonly value: Uint8Array;
  readonly condition: Condition;
  /** Fails with NAMESPACE_CHANGED unless the namespace's newest change is at this revision. Null: not asked. */
  readonly ifNamespaceRevision: Revision | null;
}
export interface DeleteOperation {
  readonly type: 'delete';
  readonly namespace: string;
  readonly key: string;
  readonly condition: Condition;
  readonly ifNamespaceRevision: Revision | null;
}
export interface CreateNamespaceOperation {
  readonly type: 'createNamespace';
  readonly namespace: string;
  readonly kind: NamespaceKind;
}
export interface DeleteNamespaceOperation {
  readonly type: 'deleteNamespace';
  readonly namespace: string;
}
/** Of a cached namespace that is not built in. */
export interface SetReadersOperation {
  readonly type: 'setReaders';
  readonly namespace: string;
  /** At most 256 of 1 to 256 bytes, each once; null: whoever may read at all. */
  readonly readers: readonly string[] | null;
}
export type Operation =
  | PutOperation
  | DeleteOperation
  | CreateNamespaceOperation
  | DeleteNamespaceOperation
  | SetReadersOperation;

/** Exactly once, first layer: a link client numbers its requests. */
export interface RegistrationStamp {
  readonly clientId: number;
  /** From 1, +1 for each new request of this client. */
  readonly sequence: number;
  /** The client has the answers of (or gave up on) every request up to here: they can be forgotten. */
  readonly completedThrough: number;
}

/** Exactly once, second layer: an end client's Idempotency-Key. */
export interface IdempotencyStamp {
  readonly principal: string;
  readonly key: string;
  /** Of the request as the end client sent it: the same key with another fingerprint is an error. */
  readonly fingerprint: Uint8Array;
}

export type CommandBody =
  | { readonly type: 'register' }
  | { readonly type: 'operation'; readonly operation: Operation };

export interface Command {
  /** The proposing leader's wall clock. Apply takes the maximum seen: time never goes back, and no member reads a clock. */
  readonly timeMs: number;
  readonly registration: RegistrationStamp | null;
  readonly idempotency: IdempotencyStamp | null;
  /**
   * The revision of the newest change of `tokens` that the caller's right was found at. If it is another when the command is applied,
   * nothing is done: a revocation that is already in the log stops every write behind it. Null: his right is not in the log.
   */
  readonly ifTokensRevision: Revision | null;
  readonly body: CommandBody;
}

export type ApplyErrorCode =
  | 'NAMESPACE_NOT_FOUND'
  | 'NAMESPACE_KIND_CONFLICT'
  | 'TOO_MANY_NAMESPACES'
  | 'NAMESPACE_NOT_CACHED'
  | 'TOO_MANY_READERS'
  | 'ENTRY_NOT_FOUND'
  | 'PRECONDITION_FAILED'
  | 'NAMESPACE_CHANGED'
  | 'AUTHORIZATION_CHANGED'
  | 'REGISTRATION_EXPIRED'
  | 'SEQUENCE_COMPLETED'
  | 'TOO_MANY_OUTSTANDING'
  | 'IDEMPOTENCY_KEY_REUSED'
  | 'INVALID_COMMAND';

export type ApplyResult =
  | { readonly type: 'registered'; readonly clientId: number; readonly head: Revision }
  | {
      readonly type: 'done';
      /** Of the change, or of the head when nothing had to change (a namespace that exists already, with the same kind). */
      readonly revision: Revision;
      readonly created: boolean;
      /** Of the entry after the change; 0 after a deletion and for namespaces. */
      readonly version: number;
      readonly createRevision: Revision;
      readonly head: Revision;
    }
  | {
      readonly type: 'failed';
      readonly code: ApplyErrorCode;
      /** PRECONDITION_FAILED: the entry's revision now, or null when it does not exist. Else null. */
      readonly currentRevision: Revision | null;
      readonly head: Revision;
    };

/** One change within a revision, as the feed and the caches see it. */
export type Change =
  | { readonly type: 'put'; readonly entry: Entry }
  | { readonly type: 'delete'; readonly namespace: string; readonly key: string; readonly revision: Revision }
  | { readonly type: 'namespace'; readonly record: NamespaceRecord };

/**
 * A stretch of the published chain: every published change in (previous, revision], in order. Published are the
 * changes of cached namespaces and all namespace records; strict entries leave no hole.
 */
export interface ChangeBatch {
  readonly epoch: number;
  readonly previous: Revision;
  readonly revision: Revision;
  readonly changes: readonly Change[];
}
