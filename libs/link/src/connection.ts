import assert from 'node:assert/strict';
import type { LinkRole, StoreFailure, StoreRequest, StoreResponse } from '@quorate/api';
import { failure } from '@quorate/api';
import { type ByteWriter, DecodeError, EncodeError } from '@quorate/kv';
import type { Message } from '@quorate/raft';
import { type Socket, connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { AddressBook } from './addresses.js';
import { Channel, type SendResult } from './channel.js';
import { isLoopbackHost } from './cluster.js';
import { FRAME, type Frame } from './frames.js';
import {
  type Challenge,
  type ClusterIdentity,
  type Hello,
  LINK_VERSION,
  type LinkRefusal,
  type MemberIdentity,
  decodeChallenge,
  decodeRefusal,
  encodeHello,
  newNonce,
  proofMatches,
  proofOf,
  refusalOfChallenge,
  refused,
} from './handshake.js';
import { writeMessage } from './raft-codec.js';
import { decodeStoreResponse, encodeStoreRequest } from './store-codec.js';
import { DEFAULT_TIMING, type LinkTiming } from './timing.js';
import { clientTlsOptions } from './tls.js';

const REQUESTS_IN_FLIGHT_MAX = 4_096;
const REQUEST_ID_MAX = 0xffff_ffff;
const DEADLINE_MS_MAX = 0xffff_ffff;
const DEADLINE_SWEEP_MS = 100;

/** The connection died, or the deadline passed, while the request was under way: a write may have happened. */
export interface LostResponse {
  readonly type: 'lost';
}

/** `waiting`: between two dials. */
export type LinkState = 'waiting' | 'connecting' | 'handshaking' | 'open' | 'closed';

export interface LinkConnectionOptions {
  /** The member to reach, from this end's member list. */
  readonly to: MemberIdentity & { readonly host: string; readonly linkPort: number };
  readonly cluster: ClusterIdentity;
  readonly role: LinkRole;
  /** The role's key, 32 bytes. */
  readonly key: Uint8Array;
  /** This member, for role `member`; else null. */
  readonly from: MemberIdentity | null;
  /** Whether bytes go unencrypted. Not given: only to a loopback host. */
  readonly plaintext?: boolean;
  /** Feed messages, after a `feedSubscribe` was answered. */
  readonly onPush?: (bytes: Uint8Array) => void;
  /** A handshake failed; the same cause is reported once until it changes or a handshake succeeds. */
  readonly onRefused?: (refusal: LinkRefusal) => void;
  /** An open connection was lost and the immediate redial was refused: the peer's process is gone, not just slow. */
  readonly onPeerGone?: () => void;
  readonly timing?: Partial<LinkTiming>;
  readonly unsentBytesMax?: number;
  /** For the jitter of the back-off, in [0, 1). */
  readonly random?: () => number;
}

/** For so long after a loss, redials come quickly: one that is refused says that the peer's process is gone. */
const GONE_WITHIN_MS = 250;
const GONE_REDIAL_MS = 10;

interface PendingRequest {
  readonly callback: (response: StoreResponse | LostResponse) => void;
  readonly forgetAtMs: number;
}

interface TimedRequest {
  readonly deadlineMs: number;
  readonly request: StoreRequest;
}

/** The dialling end of a link to one member. It dials, and dials again, until it is closed. */
export class LinkConnection {
  readonly #options: LinkConnectionOptions;
  readonly #timing: LinkTiming;
  readonly #addresses: AddressBook;
  readonly #pending = new Map<number, PendingRequest>();
  readonly #listeners = new Set<() => void>();
  #state: LinkState = 'waiting';
  #changedAtMs = performance.now();
  #tried = false;
  #channel: Channel | null = null;
  /** Counts dials; whatever a former dial still reports is stale. */
  #attempt = 0;
  #failures = 0;
  #retryTimer: NodeJS.Timeout | null = null;
  #sweepTimer: NodeJS.Timeout | null = null;
  /** When an open connection was lost, while it is not known whether the peer's process is gone. */
  #lostAtMs: number | null = null;
  #lastRequestId = 0;
  #refusal: LinkRefusal | null = null;
  #raftDropped = 0;

  constructor(options: LinkConnectionOptions) {
    this.#options = options;
    this.#timing = { ...DEFAULT_TIMING, ...options.timing };
    this.#addresses = new AddressBook(options.to.host, this.#timing.resolveIntervalMs);
    this.#dial();
  }

  /** Id of the member at the other end. */
  get member(): number {
    return this.#options.to.id;
  }

  get open(): boolean {
    return this.#state === 'open';
  }

  get state(): LinkState {
    return this.#state;
  }

  /** For how many milliseconds it has been open, or not open. */
  get sinceMs(): number {
    return performance.now() - this.#changedAtMs;
  }

  /** Whether the first dial has ended, one way or the other. */
  get tried(): boolean {
    return this.#tried;
  }

  /** Why the last handshake failed; null after one that succeeded. */
  get refusal(): LinkRefusal | null {
    return this.#refusal;
  }

  /** Raft messages that were not sent, for metrics. */
  get raftDropped(): number {
    return this.#raftDropped;
  }

  /** Calls `listener` whenever `open` has changed. The returned function ends that. */
  onOpenChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Sends a request; `callback` is called exactly once, never from within this call. STORE_UNREACHABLE, OVERLOADED and
   * INVALID_REQUEST made here mean that nothing was sent. `lost` means that it was, and that no answer will come.
   */
  request(
    request: StoreRequest,
    deadlineMs: number,
    callback: (response: StoreResponse | LostResponse) => void,
  ): void {
    const channel = this.#channel;
    if (!this.open || channel === null) {
      return later(callback, failure('STORE_UNREACHABLE', `Member ${this.member} is not connected.`));
    }
    if (this.#pending.size >= REQUESTS_IN_FLIGHT_MAX) return later(callback, this.#overloaded());
    const boundedMs = Math.min(DEADLINE_MS_MAX, Math.max(0, Math.ceil(deadlineMs)));
    const id = this.#nextRequestId();
    const refusal = this.#send(channel, id, { deadlineMs: boundedMs, request });
    if (refusal !== null) return later(callback, refusal);
    this.#pending.set(id, { callback, forgetAtMs: performance.now() + boundedMs });
  }

  /** Null: it is on its way. */
  #send(channel: Channel, id: number, request: TimedRequest): StoreFailure | null {
    let result: SendResult;
    try {
      result = channel.encode(FRAME.request, id, request, writeRequest);
    } catch (error) {
      if (error instanceof EncodeError)
        return failure('INVALID_REQUEST', `The request has ${error.message}.`);
      throw error;
    }
    if (result === 'queued') return null;
    return result === 'tooLarge'
      ? failure('INVALID_REQUEST', 'The request does not fit into one frame.')
      : this.#overloaded();
  }

  /** Sends a Raft message or drops it (Raft repeats what matters). False: dropped. */
  sendRaft(message: Message): boolean {
    const sent = this.open && this.#channel?.encode(FRAME.raft, 0, message, writeMessage) === 'queued';
    if (!sent) this.#raftDropped += 1;
    return sent;
  }

  /** Ends the link for good. Requests under way are `lost`. */
  close(): void {
    if (this.#state === 'closed') return;
    this.#attempt += 1;
    if (this.#retryTimer !== null) clearTimeout(this.#retryTimer);
    const channel = this.#channel;
    this.#channel = null;
    channel?.close('closed by its owner');
    this.#enter('closed');
    this.#loseAll();
  }

  #overloaded(): StoreFailure {
    return failure('OVERLOADED', `Too much is waiting on the link to member ${this.member}.`);
  }

  #nextRequestId(): number {
    do this.#lastRequestId = this.#lastRequestId >= REQUEST_ID_MAX ? 1 : this.#lastRequestId + 1;
    while (this.#pending.has(this.#lastRequestId));
    return this.#lastRequestId;
  }

  #enter(state: LinkState): void {
    const wasOpen = this.open;
    this.#state = state;
    this.#tried ||= state === 'open' || state === 'waiting';
    if (wasOpen === this.open) return;
    this.#changedAtMs = performance.now();
    for (const listener of [...this.#listeners]) listener();
  }

  #dial(): void {
    this.#attempt += 1;
    const attempt = this.#attempt;
    this.#enter('connecting');
    const address = this.#addresses.current;
    if (address !== null) return this.#connect(attempt, address);
    const limit = setTimeout(() => this.#dialFailed(attempt), this.#timing.connectTimeoutMs);
    this.#addresses.refresh(() => {
      clearTimeout(limit);
      if (attempt !== this.#attempt) return;
      const resolved = this.#addresses.current;
      if (resolved === null) this.#dialFailed(attempt);
      else this.#connect(attempt, resolved);
    });
  }

  #connect(attempt: number, address: string): void {
    const { to, role, key, plaintext = isLoopbackHost(to.host) } = this.#options;
    const socket = connect({ host: address, port: to.linkPort, noDelay: true });
    const limit = setTimeout(() => {
      socket.destroy();
      this.#dialFailed(attempt);
    }, this.#timing.connectTimeoutMs);
    socket.on('error', (error: NodeJS.ErrnoException) => {
      clearTimeout(limit);
      // From the handshake on the channel tells: a reset of an open link must not pass for a dial that failed.
      if (attempt === this.#attempt && this.#channel !== null) return;
      this.#dialFailed(attempt, error.code === 'ECONNREFUSED');
    });
    socket.once('connect', () => {
      clearTimeout(limit);
      if (attempt !== this.#attempt) return void socket.destroy();
      this.#enter('handshaking');
      if (plaintext) return this.#shakeHands(attempt, socket, socket);
      const secured = connectTls({ ...clientTlsOptions(role, key), socket });
      secured.once('error', (error: NodeJS.ErrnoException) => {
        if (attempt !== this.#attempt || this.#channel !== null) return;
        if (error.code?.startsWith('ERR_SSL') === true) {
          this.#noteRefusal(
            refused(`TLS with member ${to.id} failed, most likely another key (${error.code}).`),
          );
        }
        socket.destroy();
        this.#dialFailed(attempt);
      });
      const tlsLimit = setTimeout(() => socket.destroy(), this.#timing.handshakeTimeoutMs);
      socket.once('close', () => {
        clearTimeout(tlsLimit);
        if (this.#channel === null) this.#dialFailed(attempt);
      });
      secured.once('secureConnect', () => {
        clearTimeout(tlsLimit);
        this.#shakeHands(attempt, socket, secured);
      });
    });
  }

  #shakeHands(attempt: number, raw: Socket, socket: Socket): void {
    if (attempt !== this.#attempt) return void raw.destroy();
    const { cluster, role, from, to } = this.#options;
    const hello: Hello = {
      version: LINK_VERSION,
      clusterId: cluster.clusterId,
      epoch: cluster.epoch,
      memberListHash: cluster.memberListHash,
      role,
      from,
      to: to.id,
      nonce: newNonce(),
    };
    const limit = setTimeout(
      () => channel.close('the handshake took too long'),
      this.#timing.handshakeTimeoutMs,
    );
    let challenge: Challenge | null = null;
    const channel = new Channel(socket, {
      timing: this.#timing,
      ...(this.#options.unsentBytesMax === undefined ? {} : { unsentBytesMax: this.#options.unsentBytesMax }),
      onFrame: (frame) => {
        if (this.open) return this.#take(frame);
        if (frame.type === FRAME.refused) return this.#onRefusedByPeer(channel, frame.payload);
        if (challenge === null) {
          challenge = this.#answerChallenge(channel, hello, frame);
          return;
        }
        clearTimeout(limit);
        this.#takeWelcome(channel, hello, challenge, frame);
      },
      onClose: () => {
        clearTimeout(limit);
        this.#onChannelClosed(attempt);
      },
    });
    this.#channel = channel;
    channel.send(FRAME.hello, 0, encodeHello(hello));
  }

  #answerChallenge(channel: Channel, hello: Hello, frame: Frame): Challenge | null {
    if (frame.type !== FRAME.challenge) throw new DecodeError(`frame ${frame.type} instead of a challenge`);
    const challenge = decodeChallenge(frame.payload);
    const refusal = refusalOfChallenge(this.#options.to, challenge);
    if (refusal !== null) {
      this.#noteRefusal(refusal);
      channel.close(refusal.message);
      return null;
    }
    channel.send(FRAME.proof, 0, proofOf(this.#options.key, 'dialling', hello, challenge));
    return challenge;
  }

  #takeWelcome(channel: Channel, hello: Hello, challenge: Challenge, frame: Frame): void {
    if (frame.type !== FRAME.welcome) throw new DecodeError(`frame ${frame.type} instead of a welcome`);
    if (!proofMatches(frame.payload, proofOf(this.#options.key, 'accepting', hello, challenge))) {
      const refusal = refused(`Member ${this.member} does not know the key of role ${hello.role}.`);
      this.#noteRefusal(refusal);
      channel.close(refusal.message);
      return;
    }
    channel.authenticated();
    this.#failures = 0;
    this.#refusal = null;
    this.#lostAtMs = null;
    this.#sweepTimer = setInterval(() => this.#sweepDeadlines(), DEADLINE_SWEEP_MS);
    this.#enter('open');
  }

  #onRefusedByPeer(channel: Channel, payload: Uint8Array): void {
    const refusal = decodeRefusal(payload);
    this.#noteRefusal(refusal);
    channel.close(refusal.message);
  }

  #noteRefusal(refusal: LinkRefusal): void {
    const known = this.#refusal;
    this.#refusal = refusal;
    if (known?.code === refusal.code && known.message === refusal.message) return;
    this.#options.onRefused?.(refusal);
  }

  #onChannelClosed(attempt: number): void {
    if (attempt !== this.#attempt) return;
    const wasOpen = this.open;
    this.#channel = null;
    if (!wasOpen) return this.#dialFailed(attempt);
    if (this.#sweepTimer !== null) clearInterval(this.#sweepTimer);
    this.#sweepTimer = null;
    this.#lostAtMs = performance.now();
    // Dial before anyone hears of the loss: a peer whose process is gone refuses at once.
    this.#dial();
    this.#loseAll();
  }

  #dialFailed(attempt: number, connectionRefused = false): void {
    if (attempt !== this.#attempt || this.#state === 'closed') return;
    assert(!this.open, 'an open link does not fail to dial');
    this.#attempt += 1;
    this.#channel = null;
    this.#addresses.failed();
    this.#failures += 1;
    const { backoffMinMs, backoffMaxMs } = this.#timing;
    const wholeMs = Math.min(backoffMaxMs, backoffMinMs * 2 ** Math.min(this.#failures - 1, 16));
    // Half fixed, half random: members that lost each other at one moment do not come back in step.
    const delayMs = wholeMs / 2 + (wholeMs / 2) * (this.#options.random ?? Math.random)();
    // A dying process closes its connections before its port: the first redials may be accepted and reset.
    const wondering = this.#lostAtMs !== null && performance.now() - this.#lostAtMs < GONE_WITHIN_MS;
    const gone = wondering && connectionRefused;
    if (gone || !wondering) this.#lostAtMs = null;
    this.#retryTimer = setTimeout(() => this.#dial(), wondering && !gone ? GONE_REDIAL_MS : delayMs);
    this.#enter('waiting');
    if (gone) this.#options.onPeerGone?.();
  }

  #take(frame: Frame): void {
    if (frame.type === FRAME.push) {
      this.#options.onPush?.(new Uint8Array(frame.payload));
      return;
    }
    if (frame.type !== FRAME.response) throw new DecodeError(`frame ${frame.type} is not for a client`);
    const pending = this.#pending.get(frame.id);
    // Not there: its deadline passed before, and its owner was told so.
    if (pending === undefined) return;
    this.#pending.delete(frame.id);
    pending.callback(decodeResponse(frame.payload));
  }

  #sweepDeadlines(): void {
    const nowMs = performance.now();
    for (const [id, pending] of this.#pending) {
      if (pending.forgetAtMs > nowMs) continue;
      this.#pending.delete(id);
      pending.callback({ type: 'lost' });
    }
  }

  #loseAll(): void {
    if (this.#sweepTimer !== null) clearInterval(this.#sweepTimer);
    this.#sweepTimer = null;
    const lost = [...this.#pending.values()];
    this.#pending.clear();
    for (const pending of lost) pending.callback({ type: 'lost' });
  }
}

function writeRequest(writer: ByteWriter, { deadlineMs, request }: TimedRequest): void {
  writer.u32(deadlineMs);
  encodeStoreRequest(writer, request);
}

/** An answer that cannot be read says nothing about the outcome; the link itself is still in step. */
function decodeResponse(payload: Uint8Array): StoreResponse {
  try {
    return decodeStoreResponse(payload);
  } catch (error) {
    if (error instanceof DecodeError)
      return failure('INTERNAL', `The answer cannot be read: ${error.message}.`);
    throw error;
  }
}

function later(callback: (response: StoreFailure) => void, response: StoreFailure): void {
  queueMicrotask(() => callback(response));
}
