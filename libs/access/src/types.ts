import type { Entry, Revision } from '@quorate/kv';

/** Names an entity: a user, a group, a document, an action. */
export interface EntityReference {
  readonly type: string;
  readonly id: string;
}

/** "May this principal do this action on this resource, under these circumstances?" */
export interface CheckRequest {
  readonly principal: EntityReference;
  readonly action: string;
  readonly resource: EntityReference;
  readonly context: Readonly<Record<string, unknown>>;
}

/** The answer, and why. */
export interface Decision {
  readonly allowed: boolean;
  /** The access revision that the decision was made at. */
  readonly revision: Revision;
  /** Ids of the policies that determined it. */
  readonly policies: readonly string[];
  /** A sentence for the person who asks why. */
  readonly reason: string;
}

/** The policies and entities at one revision. It must not change while it is in use: read it without an await. */
export interface AccessSnapshot {
  /** Of the newest change in the namespace `access`. */
  readonly revision: Revision;
  get(key: string): Entry | undefined;
  /** Every entry below `policies/`, in order of the keys. */
  policies(): Iterable<Entry>;
}

/** What is needed of the state machine; kv's StateMachine has this shape. */
export interface AccessState {
  get(namespace: string, key: string): Entry | undefined;
  list(
    namespace: string,
    query: { readonly prefix: string; readonly limit: number },
  ): { readonly entries: readonly Entry[]; readonly truncated: boolean };
  namespaceRevision(namespace: string): Revision;
}
