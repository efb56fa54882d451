import { QuorateError } from '@quorate/api';
import { ServerNats, type MessageHandler } from '@nestjs/microservices';
import { headers as natsHeaders, type Msg } from '@nats-io/transport-node';
import { throwError, type Observable } from 'rxjs';
import type { Answer } from '../http/answer.js';
import { quorateErrorOf } from '../request/quorate-error-of.js';
import { MessageContext } from './message-context.js';
import { decodeMessage, encodeReply, type DecodedMessage } from './message-format.js';

/** Injection token of the server; null without QUORATE_NATS_URL: then the API is REST only. */
export const NATS_SERVER = Symbol('NatsServer');

/** Requests under way at once. More are refused: a flood must not fill the memory. */
const REQUESTS_IN_FLIGHT_MAX = 1024;
/** Pause between attempts to reach NATS. */
const RECONNECT_MS = 500;
/** How long a stopping gateway lets its last replies go out. */
const GRACE_PERIOD_MS = 250;
/** A connection that was cut off silently is noticed after so many of these without an answer; the client's own two minutes would be too late. */
const PING_INTERVAL_MS = 1_000;
const PINGS_OUT_MAX = 2;

export interface QuorateNatsOptions {
  readonly url: string;
  readonly clusterId: string;
  readonly user: string | undefined;
  readonly password: string | null;
  /** Called for each answer, with the verb of the subject. For the metrics. */
  readonly onAnswered: (verb: string, status: number, seconds: number) => void;
}

/** What health says of NATS. `off`: not configured. */
export type NatsState = 'off' | 'connecting' | 'connected' | 'disconnected';

/**
 * Nest's NATS server, with three differences. Subjects are `quorate.<cluster>.v1.<verb>`, for the cluster is known
 * only at run time. Plain JSON requests are answered like Nest's envelopes. And what cannot be read is answered with
 * INVALID_JSON rather than silence, which a caller could not tell from a lost message.
 */
export class QuorateNatsServer extends ServerNats {
  private inFlight = 0;
  private currentState: NatsState = 'connecting';
  private readonly subjectPrefix: string;
  private readonly onAnswered: QuorateNatsOptions['onAnswered'];

  constructor({ url, clusterId, user, password, onAnswered }: QuorateNatsOptions) {
    super({
      servers: url,
      queue: 'gateway',
      // NATS may come up later, or go away for days: REST is served meanwhile, and this goes on trying.
      waitOnFirstConnect: true,
      maxReconnectAttempts: -1,
      // Wrong credentials may be put right at the server: go on trying.
      ignoreAuthErrorAbort: true,
      // Without this the client would send the password in the clear to a server that offers no TLS.
      ...(url.startsWith('tls:') && { tls: {} }),
      reconnectTimeWait: RECONNECT_MS,
      pingInterval: PING_INTERVAL_MS,
      maxPingOut: PINGS_OUT_MAX,
      gracefulShutdown: true,
      gracePeriod: GRACE_PERIOD_MS,
      ...(user !== undefined && { user, pass: password ?? '' }),
    });
    this.subjectPrefix = `quorate.${clusterId}.v1.`;
    this.onAnswered = onAnswered;
    this.status.subscribe((status: string) => {
      this.currentState = status === 'connected' ? 'connected' : 'disconnected';
    });
  }

  /** Whether NATS is there now. The gateway answers REST either way. */
  get connectionState(): NatsState {
    return this.currentState;
  }

  override addHandler(
    verb: string,
    callback: MessageHandler,
    isEventHandler?: boolean,
    extras?: Record<string, unknown>,
  ): void {
    super.addHandler(this.subjectPrefix + verb, callback, isEventHandler, extras);
  }

  override async handleMessage(subject: string, message: Msg): Promise<void> {
    // Without a reply subject nobody would learn the outcome: nothing is done.
    if (message.reply === undefined || message.reply === '') {
      return;
    }
    const startedAtMs = performance.now();
    const request = decodeMessage(message.data);
    const answer = (outcome: Answer | QuorateError): void => {
      const seconds = (performance.now() - startedAtMs) / 1000;
      this.onAnswered(subject.slice(this.subjectPrefix.length), outcome.status, seconds);
      this.respond(message, request, outcome);
    };
    const handler = this.getHandlerByPattern(subject);
    if (request.type === 'malformed' || handler === null) {
      answer(new QuorateError(handler === null ? 'ROUTE_NOT_FOUND' : 'INVALID_JSON'));
      return;
    }
    if (this.inFlight >= REQUESTS_IN_FLIGHT_MAX) {
      answer(new QuorateError('OVERLOADED'));
      return;
    }
    this.inFlight += 1;
    const context = new MessageContext(message, request);
    const produce = async (): Promise<Observable<unknown>> => {
      try {
        return this.transformToObservable(await handler(request.data, context));
      } catch (error) {
        // A rejection becomes an answer too: else the request would stay counted, and unanswered, for ever.
        return throwError(() => error);
      }
    };
    this.handleRequest(context, produce, (packet) => {
      this.inFlight -= 1;
      answer(packet.err === undefined ? packet.response : quorateErrorOf(packet.err));
    });
  }

  private respond(message: Msg, request: DecodedMessage, outcome: Answer | QuorateError): void {
    const reply = encodeReply(request, outcome);
    try {
      message.respond(reply.body, { headers: headersOf(reply.headers) });
    } catch (error) {
      this.logger.error(error);
      const text = 'The answer does not fit into a NATS message: use REST.';
      message.respond(encodeReply(request, new QuorateError('INVALID_REQUEST', text)).body);
    }
  }
}

function headersOf(fields: Readonly<Record<string, string>>): ReturnType<typeof natsHeaders> {
  const written = natsHeaders();
  for (const [name, value] of Object.entries(fields)) {
    written.set(name, value);
  }
  return written;
}
