/** `none`: surely nothing happened. `unknown`: it may have happened, or may still. */
export type Effect = 'none' | 'unknown';

/** Facts that go with an error, on the link and in a problem document alike. */
export interface ErrorDetails {
  /** The leader that the answering member knows. */
  readonly leader?: number | null;
  readonly members?: readonly {
    readonly id: number;
    readonly reachable: boolean;
    readonly sinceMs: number;
  }[];
  readonly retryAfterMs?: number;
  /** PRECONDITION_FAILED: revision of the entry now; null: it does not exist. */
  readonly currentRevision?: number | null;
  /** The newest revision that the answering member or cache knew. */
  readonly head?: number;
  /** The part of the request that is wrong. */
  readonly field?: string;
}

export type ErrorCode =
  // the request itself
  | 'INVALID_REQUEST'
  | 'INVALID_JSON'
  | 'INVALID_NAMESPACE'
  | 'INVALID_KEY'
  | 'UNKNOWN_READ_CONSISTENCY'
  | 'INVALID_CONSISTENCY_TOKEN'
  | 'UNSUPPORTED_MEDIA_TYPE'
  | 'VALUE_TOO_LARGE'
  | 'ROUTE_NOT_FOUND'
  // who may
  | 'UNAUTHENTICATED'
  | 'FORBIDDEN'
  | 'NAMESPACE_RESERVED'
  // what is there
  | 'NAMESPACE_NOT_FOUND'
  | 'ENTRY_NOT_FOUND'
  | 'NAMESPACE_KIND_CONFLICT'
  | 'TOO_MANY_NAMESPACES'
  | 'NAMESPACE_NOT_CACHED'
  | 'TOO_MANY_READERS'
  | 'TOO_MANY_TOKENS'
  | 'ACCESS_CHANGED'
  | 'TOKEN_AHEAD'
  | 'COMPACTED'
  | 'SNAPSHOT_GONE'
  | 'PRECONDITION_FAILED'
  | 'WEAK_VALIDATOR'
  | 'IDEMPOTENCY_KEY_REUSED'
  | 'INVALID_POLICY'
  | 'INVALID_ENTITY'
  // availability
  | 'NO_QUORUM'
  | 'STORE_UNREACHABLE'
  | 'OVERLOADED'
  | 'TIMED_OUT'
  | 'AUTHORIZATION_CHANGED'
  | 'CACHE_NOT_READY'
  | 'CACHE_MISS_UNREACHABLE'
  | 'STALENESS_BOUND_EXCEEDED'
  | 'TOKEN_NOT_REACHED'
  | 'NOT_CACHED'
  | 'TRANSFER_FAILED'
  | 'OUTCOME_UNKNOWN'
  // between members, gateways and the SDK; the client core handles them
  | 'NOT_LEADER'
  | 'NOT_CAUGHT_UP'
  | 'DIVERGED'
  | 'REGISTRATION_EXPIRED'
  | 'MEMBER_WIPED'
  | 'HANDSHAKE_REFUSED'
  | 'INTERNAL';

/** A request that failed, as it travels over a link. */
export interface StoreFailure {
  readonly type: 'failed';
  readonly code: ErrorCode;
  readonly message: string;
  readonly details: ErrorDetails;
}

/** What the catalogue says of one code. docs/errors.md has the same rows; a test compares the two. */
export interface ErrorEntry {
  /** The HTTP status of an answer that carries this code. */
  readonly status: number;
  /** One sentence without a full stop; the same for every occurrence of the code. */
  readonly title: string;
  readonly effect: Effect;
  /** What the caller should do next. */
  readonly whatToDo: string;
}

/** The error catalogue: one row per code, the only place where statuses and texts are decided. */
export const ERRORS: Record<ErrorCode, ErrorEntry> = {
  /** A part of the request has the wrong shape; `field` names it. */
  INVALID_REQUEST: {
    status: 400,
    title: 'The request is not valid',
    effect: 'none',
    whatToDo: 'Correct the part of the request that `field` and `detail` name.',
  },
  /** The body is not JSON in UTF-8. */
  INVALID_JSON: {
    status: 400,
    title: 'The body is not valid JSON',
    effect: 'none',
    whatToDo: 'Send one JSON value in UTF-8, without a byte order mark.',
  },
  /** The name breaks the pattern of namespace names. */
  INVALID_NAMESPACE: {
    status: 400,
    title: 'The namespace name is not valid',
    effect: 'none',
    whatToDo: 'Use 1 to 63 characters of a-z, 0-9 and the hyphen; the first is a letter or a digit.',
  },
  /** The key is empty, too long, holds NUL or is not well-formed text. */
  INVALID_KEY: {
    status: 400,
    title: 'The key is not valid',
    effect: 'none',
    whatToDo: 'Use 1 to 1,024 bytes of UTF-8 without NUL, percent-encoded once in the path.',
  },
  /** A safety level may not be ignored, so an unknown one is refused rather than weakened. */
  UNKNOWN_READ_CONSISTENCY: {
    status: 400,
    title: 'The read level is not known',
    effect: 'none',
    whatToDo: 'Use Read-Consistency: eventual, bounded;ms=500 (1 to 86400000), session or linearizable.',
  },
  /** Malformed, forged, or of another cluster. */
  INVALID_CONSISTENCY_TOKEN: {
    status: 400,
    title: 'The consistency token is not valid',
    effect: 'none',
    whatToDo: 'Send a Consistency-Token exactly as this cluster gave it, or none.',
  },
  /** Values are JSON. */
  UNSUPPORTED_MEDIA_TYPE: {
    status: 415,
    title: 'The media type is not supported',
    effect: 'none',
    whatToDo: 'Send the body with Content-Type: application/json.',
  },
  /** The body is larger than what one entry may hold. */
  VALUE_TOO_LARGE: {
    status: 413,
    title: 'The value is too large',
    effect: 'none',
    whatToDo: 'Keep values at or below 512 KiB, and policies at or below 64 KiB.',
  },
  /** No such route, or not with this method. */
  ROUTE_NOT_FOUND: {
    status: 404,
    title: 'There is no such route',
    effect: 'none',
    whatToDo: 'Compare method and path with /openapi.json.',
  },
  /** No token, or one that is not known. */
  UNAUTHENTICATED: {
    status: 401,
    title: 'A valid token is needed',
    effect: 'none',
    whatToDo: 'Send Authorization: Bearer with the token; `quorate dev` keeps it in .quorate/admin.token.',
  },
  /** The token is known, but its principal may not do this. */
  FORBIDDEN: {
    status: 403,
    title: 'The caller may not do this',
    effect: 'none',
    whatToDo: 'Use a token that has the right which `detail` names.',
  },
  /** `access` has one write path only: /v1/access. What is in `tokens` is neither read nor written as entries. */
  NAMESPACE_RESERVED: {
    status: 403,
    title: 'The namespace is reserved',
    effect: 'none',
    whatToDo: 'Change policies and entities through /v1/access, and tokens through /v1/access/tokens.',
  },
  /** Said only by the store, never by a cache that does not know the name. */
  NAMESPACE_NOT_FOUND: {
    status: 404,
    title: 'The namespace does not exist',
    effect: 'none',
    whatToDo: 'Create it with PUT /v1/namespaces/{ns}, or correct the name.',
  },
  /** Said only from a view that is complete at the revision in the answer. */
  ENTRY_NOT_FOUND: {
    status: 404,
    title: 'The entry does not exist',
    effect: 'none',
    whatToDo: 'Create it with PUT, or correct the key.',
  },
  /** A name keeps its kind for ever, even when deleted. */
  NAMESPACE_KIND_CONFLICT: {
    status: 409,
    title: 'The name is taken by a namespace of the other kind',
    effect: 'none',
    whatToDo: 'Use another name; a name keeps its kind, also after a deletion.',
  },
  /** The cluster has used as many namespace names as it may; deleted ones count. */
  TOO_MANY_NAMESPACES: {
    status: 409,
    title: 'No further namespace can be made',
    effect: 'none',
    whatToDo: 'Use an existing namespace and tell entries apart by the prefix of their keys.',
  },
  /** What is strict is read by whoever has the right, from the store; readers are about what caches hold. */
  NAMESPACE_NOT_CACHED: {
    status: 409,
    title: 'Only a cached namespace has readers',
    effect: 'none',
    whatToDo: 'Set readers of a cached namespace; for a strict one give tokens scopes that name it.',
  },
  /** All readers of all namespaces travel in one message to a cache that begins. */
  TOO_MANY_READERS: {
    status: 409,
    title: 'No further readers can be named',
    effect: 'none',
    whatToDo: 'Name fewer or shorter principals: those of all namespaces together take 512 KiB at most.',
  },
  /** As many tokens as there may be at a time. */
  TOO_MANY_TOKENS: {
    status: 409,
    title: 'No further token can be made',
    effect: 'none',
    whatToDo: 'Revoke tokens that are not needed any more; expired ones count until they are revoked.',
  },
  /** The access namespace moved on between validation and commit. */
  ACCESS_CHANGED: {
    status: 409,
    title: 'Policies or entities changed at the same time',
    effect: 'none',
    whatToDo: 'Send the request again; it is validated against the newest policies and entities.',
  },
  /** Said after a quorum round of the same epoch: acknowledged data is missing. */
  TOKEN_AHEAD: {
    status: 409,
    title: 'The consistency token is ahead of the store',
    effect: 'none',
    whatToDo: 'Tell the operator: acknowledged data was lost. Drop the token to go on.',
  },
  /** The changes asked for are older than what is retained. */
  COMPACTED: {
    status: 410,
    title: 'The changes asked for are no longer kept',
    effect: 'none',
    whatToDo: 'Read the present content, then go on from its revision.',
  },
  /** The member has a newer snapshot now, or never had this one. */
  SNAPSHOT_GONE: {
    status: 410,
    title: 'The snapshot asked for is no longer kept',
    effect: 'none',
    whatToDo: 'Start the backup again; it begins with a new snapshot.',
  },
  /** If-Match or If-None-Match did not hold at the moment of the write. */
  PRECONDITION_FAILED: {
    status: 412,
    title: 'The precondition did not hold',
    effect: 'none',
    whatToDo: 'Read the entry with Read-Consistency: linearizable and decide anew; ETag is the current one.',
  },
  /** If-Match compares strongly; what a cache said cannot start a conditional write. */
  WEAK_VALIDATOR: {
    status: 412,
    title: 'A weak validator cannot guard a write',
    effect: 'none',
    whatToDo: 'Read the entry with Read-Consistency: linearizable and send that strong ETag in If-Match.',
  },
  /** The same Idempotency-Key came with another request. */
  IDEMPOTENCY_KEY_REUSED: {
    status: 422,
    title: 'The idempotency key was used for another request',
    effect: 'none',
    whatToDo: 'Use a new Idempotency-Key for each new request; repeat one only with the same request.',
  },
  /** Cedar cannot parse the policy, or it is a template, or not exactly one. */
  INVALID_POLICY: {
    status: 422,
    title: 'The policy is not valid',
    effect: 'none',
    whatToDo: "Correct the policy; `detail` has Cedar's message, or the limit it exceeds.",
  },
  /** The entity's attributes or parents cannot be used. */
  INVALID_ENTITY: {
    status: 422,
    title: 'The entity is not valid',
    effect: 'none',
    whatToDo: 'Correct the attributes or parents that `detail` names.',
  },
  /** Fewer than a majority of members reach each other. Strict data is refused rather than guessed. */
  NO_QUORUM: {
    status: 503,
    title: 'No quorum: too few members reach each other',
    effect: 'none',
    whatToDo: 'Bring back the members that `detail` names, or retry after Retry-After. Cached reads go on.',
  },
  /** The gateway or SDK reaches no member at all; nothing was sent. */
  STORE_UNREACHABLE: {
    status: 503,
    title: 'No member of the store can be reached',
    effect: 'none',
    whatToDo: 'Check the network and the members; retry after Retry-After. Cached reads go on.',
  },
  /** A bounded queue is full; the request was refused at its door. */
  OVERLOADED: {
    status: 503,
    title: 'Too many requests are waiting',
    effect: 'none',
    whatToDo: 'Retry after Retry-After, with a growing pause.',
  },
  /** The deadline passed before anything was proposed. */
  TIMED_OUT: {
    status: 503,
    title: 'The request ran out of time',
    effect: 'none',
    whatToDo: 'Retry; nothing was changed.',
  },
  /** Each time the request was authorised, tokens had changed before it was done. */
  AUTHORIZATION_CHANGED: {
    status: 503,
    title: 'Tokens changed again and again while the request was under way',
    effect: 'none',
    whatToDo: 'Retry after Retry-After; nothing was changed.',
  },
  /** A cache that has never synced must not say "empty". */
  CACHE_NOT_READY: {
    status: 503,
    title: 'The cache has not synced yet',
    effect: 'none',
    whatToDo: 'Retry after Retry-After, or ask another gateway.',
  },
  /** Not in the cache, and nobody to ask: this is not a 404. */
  CACHE_MISS_UNREACHABLE: {
    status: 503,
    title: 'The entry is not cached and no member can be reached',
    effect: 'none',
    whatToDo: 'Retry after Retry-After; entries that are cached can still be read.',
  },
  /** The cache cannot prove the bound that the caller asked for. */
  STALENESS_BOUND_EXCEEDED: {
    status: 503,
    title: 'The staleness bound cannot be proven',
    effect: 'none',
    whatToDo: 'Retry after Retry-After, or ask for a larger bound or Read-Consistency: eventual.',
  },
  /** Neither the cache nor the store has proven that it is as new as the token. */
  TOKEN_NOT_REACHED: {
    status: 503,
    title: 'The revision of the consistency token was not reached in time',
    effect: 'none',
    whatToDo: 'Retry after Retry-After with the same token.',
  },
  /** Asked with `only-if-cached`: the store was not asked, and may well have the answer. */
  NOT_CACHED: {
    status: 504,
    title: 'What is held here does not do, and only-if-cached forbids to ask the store',
    effect: 'none',
    whatToDo: 'Ask again without Cache-Control: only-if-cached, or for a weaker level.',
  },
  /** The leader did not change in time. It may still change, which harms nothing: no data is touched by it. */
  TRANSFER_FAILED: {
    status: 503,
    title: 'The leader did not change in time',
    effect: 'none',
    whatToDo:
      'Look at /v1/cluster and ask again: a transfer touches no data, and a second one harms nothing.',
  },
  /** The write was proposed, but its end was not seen: it may have happened, or may still. */
  OUTCOME_UNKNOWN: {
    status: 504,
    title: 'The outcome of the write is not known',
    effect: 'unknown',
    whatToDo: 'Repeat the request with the same Idempotency-Key, or read linearizably before you go on.',
  },
  /** Between members, gateways and the SDK: ask the leader in `leader`. */
  NOT_LEADER: {
    status: 503,
    title: 'This member is not the leader',
    effect: 'none',
    whatToDo: 'Ask the member that `leader` names; the SDK and the gateway do so by themselves.',
  },
  /** A member that has not caught up since its start must not say 404. */
  NOT_CAUGHT_UP: {
    status: 503,
    title: 'This member has not caught up since its start',
    effect: 'none',
    whatToDo: 'Ask another member; the SDK and the gateway do so by themselves.',
  },
  /** Equal logs must give equal states: one that does not is not answered from. */
  DIVERGED: {
    status: 503,
    title: "This member's state differs from the majority's at the same log index; it stopped serving",
    effect: 'none',
    whatToDo:
      'Keep its folder for the analysis and report it; the SDK and the gateway ask the others by themselves.',
  },
  /** The client's registration is gone, and with it the answers to its requests. */
  REGISTRATION_EXPIRED: {
    status: 504,
    title: 'The client registration has expired',
    effect: 'unknown',
    whatToDo: 'Register again. A write that was under way may have happened: read before you repeat it.',
  },
  /** The member's data folder is empty or another one than its peers know. */
  MEMBER_WIPED: {
    status: 503,
    title: "The member's data folder is not the one its cluster knows",
    effect: 'none',
    whatToDo:
      'Give the member its own data folder back; if that is lost, `quorate-store format` begins it anew.',
  },
  /** Cluster, member list, version or key do not agree. */
  HANDSHAKE_REFUSED: {
    status: 503,
    title: 'The handshake was refused',
    effect: 'none',
    whatToDo: 'Compare cluster.json, keys and versions of the two ends; `detail` says which differs.',
  },
  /** A defect of ours. */
  INTERNAL: {
    status: 500,
    title: 'Something failed inside Quorate',
    effect: 'unknown',
    whatToDo: 'Report it with the log lines of this moment; read linearizably before you repeat a write.',
  },
};

/** True for a code of the catalogue; for text that came over a wire. */
export function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(ERRORS, text);
}

/** `none`: surely nothing happened. `unknown`: the caller may not assume either. */
export function effectOf(code: ErrorCode): Effect {
  return ERRORS[code].effect;
}

/** A failure as it travels over the link. Without a message it says the catalogue's title. */
export function failure(code: ErrorCode, message?: string, details: ErrorDetails = {}): StoreFailure {
  return { type: 'failed', code, message: message ?? `${ERRORS[code].title}.`, details };
}

/** The one error class of gateway, SDK and CLI. Its message is the sentence for the user. */
export class QuorateError extends Error {
  override readonly name = 'QuorateError';
  readonly code: ErrorCode;
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, message?: string, details: ErrorDetails = {}) {
    super(message ?? `${ERRORS[code].title}.`);
    this.code = code;
    this.details = details;
  }

  /** Makes the error to throw from a failure that came over the link. */
  static from(failed: StoreFailure): QuorateError {
    return new QuorateError(failed.code, failed.message, failed.details);
  }

  get effect(): Effect {
    return effectOf(this.code);
  }

  /** The HTTP status. */
  get status(): number {
    return ERRORS[this.code].status;
  }
}

/** RFC 9457, with our members. No top-level `response`, `err` or `isDisposed`: Nest's NATS client would unwrap it. */
export interface ProblemDocument extends ErrorDetails {
  /** Reference to the code's section in docs/errors.md. */
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: ErrorCode;
  readonly effect: Effect;
  readonly whatToDo: string;
}

/** Media type of a problem document. */
export const PROBLEM_MEDIA_TYPE = 'application/problem+json';

/** The problem document of a failure or of a QuorateError (both carry code, message, details). */
export function problem(error: {
  readonly code: ErrorCode;
  readonly message: string;
  readonly details: ErrorDetails;
}): ProblemDocument {
  const { status, title, effect, whatToDo } = ERRORS[error.code];
  return {
    type: `/docs/errors.md#${error.code.toLowerCase()}`,
    title,
    status,
    detail: error.message + memberSentences(error.details),
    code: error.code,
    effect,
    whatToDo,
    ...knownDetails(error.details),
  };
}

/** Only the fields of ErrorDetails: details that came over a wire must not overwrite or add anything else. */
function knownDetails(details: ErrorDetails): ErrorDetails {
  const { leader, members, retryAfterMs, currentRevision, head, field } = details;
  return {
    ...(leader !== undefined && { leader }),
    ...(members !== undefined && { members }),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
    ...(currentRevision !== undefined && { currentRevision }),
    ...(head !== undefined && { head }),
    ...(field !== undefined && { field }),
  };
}

/** Names who is reachable, who is not, and since when: the operator's first question. */
function memberSentences(details: ErrorDetails): string {
  const members = details.members ?? [];
  if (members.length === 0) return '';
  const list = (reachable: boolean): string =>
    members
      .filter((member) => member.reachable === reachable)
      .map((member) => `${member.id} (for ${(member.sinceMs / 1000).toFixed(1)} s)`)
      .join(', ') || 'none';
  return ` Members reachable: ${list(true)}; not reachable: ${list(false)}.`;
}
