import type { LinkRole, StoreRequest, StoreResponse } from '@quorate/api';
import { failure } from '@quorate/api';
import { ByteReader, DecodeError } from '@quorate/kv';
import type { Message } from '@quorate/raft';
import { type AddressInfo, type Server, type Socket, createServer } from 'node:net';
import { type Server as TlsServer, type TLSSocket, createServer as createTlsServer } from 'node:tls';
import { Channel } from './channel.js';
import { isLoopbackHost } from './cluster.js';
import { FRAME, type Frame } from './frames.js';
import {
  type AcceptPolicy,
  type Challenge,
  type Hello,
  LINK_VERSION,
  type LinkRefusal,
  decodeHello,
  encodeChallenge,
  encodeRefusal,
  newNonce,
  proofMatches,
  proofOf,
  refusalOfHello,
  refused,
} from './handshake.js';
import { decodeMessage } from './raft-codec.js';
import { decodeStoreRequest, encodeStoreResponse } from './store-codec.js';
import { DEFAULT_TIMING, type LinkTiming } from './timing.js';
import { serverTlsOptions } from './tls.js';

const REQUESTS_IN_FLIGHT_MAX = 4_096;
const UNAUTHENTICATED_MAX = 64;
const CONNECTIONS_MAX = 2_048;
const CONNECTIONS_OF_ROLE_MAX: Record<LinkRole, number> = { member: 64, gateway: 256, client: 1_024 };
/** A request that its owner never answered is forgotten this long after its deadline. */
const FORGET_AFTER_MS = 1_000;
const FORGET_INTERVAL_MS = 1_000;
const TLS_HANDSHAKE_BYTE = 0x16;
const TOO_LARGE = 'The answer does not fit into one frame.';

/** Who a request comes from, as proved in the handshake. */
export interface LinkCaller {
  readonly role: LinkRole;
  /** The member's id; null for gateways and clients. */
  readonly member: number | null;
}

/** One gateway that wants the feed over its link. */
export interface FeedSubscriber {
  readonly open: boolean;
  /** Sends one feed message. False: it was dropped (closed, or the reader is too slow); the chain rule finds the gap. */
  push(bytes: Uint8Array): boolean;
}

export interface LinkServerOptions extends AcceptPolicy {
  /** The roles that may connect, each with its key (32 bytes). */
  readonly keys: Readonly<Partial<Record<LinkRole, Uint8Array>>>;
  /**
   * Accept unencrypted connections that do not come from the loopback interface. Unencrypted loopback connections and
   * TLS ones are always accepted; the two are told apart by their first byte.
   */
  readonly plaintext?: boolean;
  /** `deadlineMs` is what is left of the caller's patience. `respond` counts once; later calls are dropped. */
  readonly onRequest: (
    caller: LinkCaller,
    request: StoreRequest,
    deadlineMs: number,
    respond: (response: StoreResponse) => void,
  ) => void;
  /** Sender and receiver are checked against the handshake. */
  readonly onRaftMessage: (message: Message) => void;
  readonly onFeedSubscribe: (subscriber: FeedSubscriber) => void;
  /** A peer was turned away, for the log. */
  readonly onRefused?: (refusal: LinkRefusal, remoteAddress: string) => void;
  readonly timing?: Partial<LinkTiming>;
  readonly unsentBytesMax?: number;
}

/** Counters since the start, for metrics. */
export interface LinkServerCounts {
  /** Connections that proved their role and are open now. */
  readonly open: number;
  readonly unauthenticated: number;
  readonly refused: number;
  /** Raft messages whose sender or receiver is not what the handshake proved. */
  readonly raftMisaddressed: number;
}

/** The accepting end of all links of one member. */
export class LinkServer {
  readonly #options: LinkServerOptions;
  readonly #timing: LinkTiming;
  readonly #tlsRoles = new WeakMap<object, LinkRole>();
  readonly #server: Server;
  readonly #tlsServer: TlsServer;
  /** Connections that have not proved their role, oldest first. */
  readonly #unauthenticated = new Map<Socket, () => void>();
  readonly #connections = new Set<AcceptedConnection>();
  #refused = 0;
  #raftMisaddressed = 0;

  constructor(options: LinkServerOptions) {
    this.#options = options;
    this.#timing = { ...DEFAULT_TIMING, ...options.timing };
    const tlsOptions = serverTlsOptions(options.keys, (socket, role) => this.#tlsRoles.set(socket, role));
    this.#tlsServer = createTlsServer({ ...tlsOptions, handshakeTimeout: this.#timing.handshakeTimeoutMs });
    this.#tlsServer.on('secureConnection', (socket: TLSSocket) => this.#greet(socket, true));
    this.#tlsServer.on('tlsClientError', (error: NodeJS.ErrnoException, socket) => {
      const cause = error.code ?? error.message;
      this.#noteRefused(
        refused(`The TLS handshake failed, most likely by another key (${cause}).`),
        socket.remoteAddress,
      );
      socket.destroy();
    });
    // Paused: the first byte must stay in the socket until it is known who reads it.
    this.#server = createServer({ pauseOnConnect: true, noDelay: true }, (socket) => this.#accept(socket));
    this.#server.maxConnections = CONNECTIONS_MAX;
  }

  get counts(): LinkServerCounts {
    return {
      open: this.#connections.size,
      unauthenticated: this.#unauthenticated.size,
      refused: this.#refused,
      raftMisaddressed: this.#raftMisaddressed,
    };
  }

  /** Members that have an open connection to this one. */
  get connectedMembers(): readonly number[] {
    const members = [...this.#connections].map((connection) => connection.caller.member);
    return [...new Set(members.filter((member) => member !== null))].sort((left, right) => left - right);
  }

  /** The port in use; for port 0 the one that the system chose. Only between listen and close. */
  get port(): number {
    const address: AddressInfo | string | null = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('the link server is not listening');
    return address.port;
  }

  /** Rejects with the system's error (EADDRINUSE and the like). */
  listen(host: string, port: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(port, host, () => {
        this.#server.off('error', reject);
        // Errors of accept (too many open files) are not fatal: the next attempt may do.
        this.#server.on('error', () => undefined);
        resolve();
      });
    });
  }

  /** Sends the answers that are ready and closes every connection; requests still under way get none. */
  close(): Promise<void> {
    for (const socket of this.#unauthenticated.keys()) socket.destroy();
    for (const connection of this.#connections) connection.drain('the member is shutting down');
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
    });
  }

  #accept(socket: Socket): void {
    socket.on('error', () => undefined);
    this.#holdUnauthenticated(socket);
    socket.once('readable', () => {
      const first: unknown = socket.read(1);
      if (!(first instanceof Buffer)) return;
      socket.unshift(first);
      if (first[0] === TLS_HANDSHAKE_BYTE) {
        this.#tlsServer.emit('connection', socket);
        return;
      }
      this.#greet(socket, false);
    });
    // `readable` fires only for a stream that wants to be read; 0 bytes asks without taking anything.
    socket.read(0);
  }

  /** Bounds the connections that proved nothing: the oldest gives way, since an honest handshake takes moments. */
  #holdUnauthenticated(socket: Socket): void {
    if (this.#unauthenticated.size >= UNAUTHENTICATED_MAX) {
      for (const oldest of this.#unauthenticated.keys()) {
        oldest.destroy();
        this.#unauthenticated.delete(oldest);
        break;
      }
    }
    const limit = setTimeout(() => socket.destroy(), this.#timing.handshakeTimeoutMs);
    const release = (): void => {
      clearTimeout(limit);
      this.#unauthenticated.delete(socket);
    };
    this.#unauthenticated.set(socket, release);
    socket.once('close', release);
  }

  #greet(socket: Socket, encrypted: boolean): void {
    const { plaintext = false } = this.#options;
    const remoteAddress = socket.remoteAddress ?? '';
    const connection: AcceptedConnection = new AcceptedConnection(socket, {
      ...this.#options,
      timing: this.#timing,
      tlsRole: encrypted ? (this.#tlsRoles.get(socket) ?? null) : null,
      mayConnect: encrypted || plaintext || isLoopbackHost(remoteAddress),
      encrypted,
      onRefusal: (refusal) => this.#noteRefused(refusal, remoteAddress),
      onOpen: () => {
        this.#releaseByPort(socket);
        if (!this.#hasRoomFor(connection.caller.role)) {
          connection.close(`too many connections of role ${connection.caller.role}`);
          return;
        }
        this.#connections.add(connection);
      },
      onClosed: () => this.#connections.delete(connection),
      onMisaddressed: () => {
        this.#raftMisaddressed += 1;
      },
    });
  }

  /** Members always fit: neither gateways nor clients may use up what the cluster itself needs. */
  #hasRoomFor(role: LinkRole): boolean {
    let held = 0;
    for (const { caller } of this.#connections) if (caller.role === role) held += 1;
    return held < CONNECTIONS_OF_ROLE_MAX[role];
  }

  /** A TLS socket is another object than the connection under it: the pair of remote port and address is the same. */
  #releaseByPort(socket: Socket): void {
    for (const [held, release] of this.#unauthenticated) {
      if (
        held === socket ||
        (held.remotePort === socket.remotePort && held.remoteAddress === socket.remoteAddress)
      ) {
        release();
        return;
      }
    }
  }

  #noteRefused(refusal: LinkRefusal, remoteAddress: string | undefined): void {
    this.#refused += 1;
    this.#options.onRefused?.(refusal, remoteAddress ?? '');
  }
}

interface AcceptedOptions extends LinkServerOptions {
  readonly timing: LinkTiming;
  /** The role whose key opened the TLS connection; null without TLS. */
  readonly tlsRole: LinkRole | null;
  readonly encrypted: boolean;
  readonly mayConnect: boolean;
  readonly onRefusal: (refusal: LinkRefusal) => void;
  readonly onOpen: () => void;
  readonly onClosed: () => void;
  readonly onMisaddressed: () => void;
}

type Stage =
  | { readonly type: 'hello' }
  | { readonly type: 'proof'; readonly hello: Hello; readonly challenge: Challenge; readonly key: Uint8Array }
  | { readonly type: 'open' };

/** One accepted connection: its handshake, then its requests. */
class AcceptedConnection {
  readonly #options: AcceptedOptions;
  readonly #channel: Channel;
  /** Request ids under way, each with the time at which it is forgotten. */
  readonly #inFlight = new Map<number, number>();
  /** Of the feed, while the peer wants it. */
  #subscription: { ended: boolean } | null = null;
  #stage: Stage = { type: 'hello' };
  #forgetTimer: NodeJS.Timeout | null = null;
  caller: LinkCaller = { role: 'client', member: null };

  constructor(socket: Socket, options: AcceptedOptions) {
    this.#options = options;
    this.#channel = new Channel(socket, {
      timing: options.timing,
      ...(options.unsentBytesMax === undefined ? {} : { unsentBytesMax: options.unsentBytesMax }),
      onFrame: (frame) => this.#take(frame),
      onClose: () => this.#onClose(),
    });
    socket.resume();
  }

  close(reason: string): void {
    this.#channel.close(reason);
  }

  drain(reason: string): void {
    this.#channel.drain(reason);
  }

  #onClose(): void {
    if (this.#forgetTimer !== null) clearInterval(this.#forgetTimer);
    this.#inFlight.clear();
    this.#options.onClosed();
  }

  #take(frame: Frame): void {
    const stage = this.#stage;
    if (stage.type === 'open') this.#takeOpen(frame);
    else if (stage.type === 'hello' && frame.type === FRAME.hello) this.#takeHello(frame.payload);
    else if (stage.type === 'proof' && frame.type === FRAME.proof) this.#takeProof(stage, frame.payload);
    else throw new DecodeError(`frame ${frame.type} has no place in the handshake`);
  }

  #takeHello(payload: Uint8Array): void {
    const hello = decodeHello(payload);
    if (hello.role === null) {
      return this.#refuse(
        refused(`This member speaks link version ${LINK_VERSION}, the peer ${hello.version}.`),
      );
    }
    if (!this.#options.mayConnect) {
      return this.#refuse(
        refused('Off the loopback interface this member wants TLS; the peer did not use it.'),
      );
    }
    if (this.#options.encrypted && this.#options.tlsRole !== hello.role) {
      return this.#refuse(
        refused(`The peer opened TLS with another key than that of its role ${hello.role}.`),
      );
    }
    const refusal = refusalOfHello(this.#options, hello);
    if (refusal !== null) return this.#refuse(refusal);
    const key = this.#options.keys[hello.role];
    if (key === undefined)
      return this.#refuse(refused(`This member accepts no connections of role ${hello.role}.`));
    const challenge = { member: this.#options.member, nonce: newNonce() };
    this.#stage = { type: 'proof', hello, challenge, key };
    this.#channel.send(FRAME.challenge, 0, encodeChallenge(challenge));
  }

  #takeProof(stage: Extract<Stage, { type: 'proof' }>, payload: Uint8Array): void {
    const { hello, challenge, key } = stage;
    if (!proofMatches(payload, proofOf(key, 'dialling', hello, challenge))) {
      return this.#refuse(refused(`The peer's key of role ${hello.role} is not the one of this cluster.`));
    }
    this.caller = { role: hello.role, member: hello.from?.id ?? null };
    this.#stage = { type: 'open' };
    this.#channel.authenticated();
    this.#channel.send(FRAME.welcome, 0, proofOf(key, 'accepting', hello, challenge));
    this.#forgetTimer = setInterval(() => this.#forgetOverdue(), FORGET_INTERVAL_MS);
    this.#options.onOpen();
  }

  #refuse(refusal: LinkRefusal): void {
    this.#options.onRefusal(refusal);
    this.#channel.finish(FRAME.refused, encodeRefusal(refusal.code, refusal.message), refusal.message);
  }

  #takeOpen(frame: Frame): void {
    switch (frame.type) {
      case FRAME.request:
        return this.#takeRequest(frame.id, frame.payload);
      case FRAME.raft:
        return this.#takeRaft(frame.payload);
      default:
        throw new DecodeError(`frame ${frame.type} is not for a server`);
    }
  }

  #takeRaft(payload: Uint8Array): void {
    const message = decodeMessage(payload);
    if (message.from !== this.caller.member || message.to !== this.#options.member.id) {
      this.#options.onMisaddressed();
      return;
    }
    this.#options.onRaftMessage(message);
  }

  #takeRequest(id: number, payload: Uint8Array): void {
    if (this.#inFlight.has(id)) throw new DecodeError(`request ${id} came twice`);
    const decoded = decodeRequest(payload);
    if (typeof decoded === 'string') {
      this.#answer(id, failure('INVALID_REQUEST', `The request cannot be read: ${decoded}.`));
      return;
    }
    const { deadlineMs, request } = decoded;
    if (this.#inFlight.size >= REQUESTS_IN_FLIGHT_MAX) {
      this.#answer(id, failure('OVERLOADED', 'This connection has too many requests under way.'));
      return;
    }
    this.#inFlight.set(id, this.#channel.receivedAtMs + deadlineMs + FORGET_AFTER_MS);
    if (request.type === 'feedSubscribe') return this.#subscribe(id);
    if (request.type === 'feedUnsubscribe') return this.#unsubscribe(id);
    this.#options.onRequest(this.caller, request, deadlineMs, (response) => this.#respond(id, response));
  }

  #subscribe(id: number): void {
    if (this.caller.role !== 'gateway') {
      this.#respond(id, failure('FORBIDDEN', 'Only gateways receive the feed.'));
      return;
    }
    const channel = this.#channel;
    // The answer first: what is pushed from within the call below must not come before it.
    this.#respond(id, { type: 'subscribed' });
    if (this.#subscription !== null) return;
    const subscription = { ended: false };
    this.#subscription = subscription;
    this.#options.onFeedSubscribe({
      get open() {
        return !subscription.ended && !channel.closed;
      },
      push: (bytes) => !subscription.ended && channel.send(FRAME.push, 0, bytes) === 'queued',
    });
  }

  #unsubscribe(id: number): void {
    if (this.#subscription !== null) this.#subscription.ended = true;
    this.#subscription = null;
    this.#respond(id, { type: 'unsubscribed' });
  }

  #respond(id: number, response: StoreResponse): void {
    // False: answered before, forgotten, or the connection is gone. The caller has its own deadline.
    if (!this.#inFlight.delete(id)) return;
    this.#answer(id, response);
  }

  #answer(id: number, response: StoreResponse): void {
    let result = this.#channel.encode(FRAME.response, id, response, encodeStoreResponse);
    if (result === 'tooLarge') {
      const instead = failure('INTERNAL', TOO_LARGE);
      result = this.#channel.encode(FRAME.response, id, instead, encodeStoreResponse);
    }
    // An answer cannot be dropped without lying to the caller's book-keeping, so the connection goes instead.
    if (result !== 'queued') this.#channel.close('the peer does not read');
  }

  #forgetOverdue(): void {
    const nowMs = performance.now();
    for (const [id, forgetAtMs] of this.#inFlight) if (forgetAtMs <= nowMs) this.#inFlight.delete(id);
  }
}

/**
 * The request, or what is wrong with it. The frame around it was whole, so one request that breaks a bound (a gateway's
 * caller may send any token or key) gets its own answer; the link and everybody else's requests go on.
 */
function decodeRequest(payload: Uint8Array): { deadlineMs: number; request: StoreRequest } | string {
  try {
    const reader = new ByteReader(payload);
    return { deadlineMs: reader.u32(), request: decodeStoreRequest(reader) };
  } catch (error) {
    if (error instanceof DecodeError) return error.message;
    throw error;
  }
}
