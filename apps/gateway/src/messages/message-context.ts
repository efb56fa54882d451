import type { Msg } from '@nats-io/transport-node';
import { NatsContext } from '@nestjs/microservices';
import type { DecodedMessage } from './message-format.js';

/** What a handler may ask of its message besides the data: also how that was written. */
export class MessageContext extends NatsContext {
  constructor(
    message: Msg,
    readonly request: DecodedMessage,
  ) {
    super([message.subject, message.headers]);
  }
}
