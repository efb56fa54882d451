import {
  checkMessageSchema,
  consistencyMessageSchema,
  getMessageSchema,
  HEADERS,
  parseCacheControl,
  parseCondition,
  parseReadLevel,
  putMessageSchema,
  snapshotMessageSchema,
  transferMessageSchema,
  type CheckMessage,
  type ConsistencyMessage,
  type GetMessage,
  type PutMessage,
  type TransferMessage,
} from '@quorate/api';
import { Controller, Inject } from '@nestjs/common';
import { Ctx, MessagePattern, Payload } from '@nestjs/microservices';
import { checkAccess } from '../access/check.js';
import { consistencyAnswer } from '../consistency/consistency-answer.js';
import { ConsistencyMonitor } from '../consistency/consistency-monitor.js';
import { takeSnapshot, transferLeadership } from '../cluster/cluster-commands.js';
import { readEntry } from '../entries/read-entry.js';
import { checkedIdempotencyKey, putEntry } from '../entries/write-entry.js';
import type { Answer } from '../http/answer.js';
import { CallerToken, natsHeader } from '../request/caller.js';
import { Needs } from '../request/needs.js';
import { ConsistencyTokens } from '../store/consistency-tokens.js';
import { LocalAccess } from '../store/local-access.js';
import { STORE, VIEW, type Store, type View } from '../store/store.js';
import { MessageContext } from './message-context.js';
import { requestMemberText } from './message-format.js';

/** The NATS API: subjects `quorate.<cluster>.v1.<verb>`. Each verb calls the function that its REST route calls. */
@Controller()
export class MessagesController {
  constructor(
    @Inject(STORE) private readonly store: Store,
    @Inject(VIEW) private readonly view: View,
    private readonly tokens: ConsistencyTokens,
    private readonly monitor: ConsistencyMonitor,
    private readonly access: LocalAccess,
  ) {}

  @MessagePattern('get')
  @Needs('entries:read')
  async get(
    @CallerToken() token: string,
    @Payload({ schema: getMessageSchema }) message: GetMessage,
    @Ctx() context: MessageContext,
  ): Promise<Answer> {
    return readEntry(this.store, this.view, this.tokens, this.monitor.reads, {
      token,
      namespace: message.namespace,
      key: message.key,
      level: parseReadLevel(message.consistency),
      directives: parseCacheControl(message.cacheControl ?? natsHeader(context, HEADERS.cacheControl)),
      consistencyToken: message.consistencyToken,
      ifNoneMatch: undefined,
    });
  }

  /** The value is cut out of the message and kept byte for byte: parsed and written anew, numbers would change. */
  @MessagePattern('put')
  @Needs('entries:write')
  async put(
    @CallerToken() token: string,
    @Payload({ schema: putMessageSchema }) message: PutMessage,
    @Ctx() context: MessageContext,
  ): Promise<Answer> {
    return putEntry(this.store, this.view, this.tokens, {
      token,
      namespace: message.namespace,
      key: message.key,
      condition: parseCondition(message.ifMatch, message.ifNoneMatch),
      idempotencyKey: checkedIdempotencyKey(message.idempotencyKey),
      value: Buffer.from(requestMemberText(context.request, 'value') ?? ''),
    });
  }

  @MessagePattern('check')
  @Needs('access:check')
  async check(
    @CallerToken() token: string,
    @Payload({ schema: checkMessageSchema }) message: CheckMessage,
  ): Promise<Answer> {
    const { principal, action, resource, context } = message;
    const check = { principal, action, resource, context };
    return checkAccess(this.store, this.tokens, { token, check, consistencyToken: undefined });
  }

  @MessagePattern('consistency')
  @Needs('cluster:read')
  async consistency(
    @CallerToken() token: string,
    @Payload({ schema: consistencyMessageSchema }) _message: ConsistencyMessage,
  ): Promise<Answer> {
    await this.access.require(token, 'cluster:read');
    return consistencyAnswer(this.view, this.monitor);
  }

  @MessagePattern('transfer')
  @Needs('cluster:admin')
  async transfer(
    @CallerToken() token: string,
    @Payload({ schema: transferMessageSchema }) message: TransferMessage,
  ): Promise<Answer> {
    return transferLeadership(this.store, token, message);
  }

  /** A backup is no message: it is larger than NATS carries. Use REST. */
  @MessagePattern('snapshot')
  @Needs('cluster:admin')
  async snapshot(
    @CallerToken() token: string,
    @Payload({ schema: snapshotMessageSchema }) _message: object,
  ): Promise<Answer> {
    return takeSnapshot(this.store, token);
  }
}
