import {
  HEADERS,
  listQuerySchema,
  parseCacheControl,
  parseCondition,
  parseReadLevel,
  type ListQuery,
} from '@quorate/api';
import { Body, Controller, Delete, Get, Inject, Put, Query, Res } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import { ConsistencyMonitor } from '../consistency/consistency-monitor.js';
import { sendAnswer } from '../http/answer.js';
import { RequestHead } from '../http/request-head.js';
import { entryPathOf, namespaceOf } from '../http/raw-path.js';
import { Needs } from '../request/needs.js';
import { ConsistencyTokens } from '../store/consistency-tokens.js';
import { STORE, VIEW, type Store, type View } from '../store/store.js';
import { listEntries } from './list-entries.js';
import { readEntry } from './read-entry.js';
import { checkedIdempotencyKey, deleteEntry, putEntry } from './write-entry.js';

@Controller('v1/namespaces/:namespace/entries')
export class EntriesController {
  constructor(
    @Inject(STORE) private readonly store: Store,
    @Inject(VIEW) private readonly view: View,
    private readonly tokens: ConsistencyTokens,
    private readonly monitor: ConsistencyMonitor,
  ) {}

  @Get()
  @Needs('entries:read')
  async list(
    @RequestHead() { token, url, header }: RequestHead,
    @Query({ schema: listQuerySchema }) query: ListQuery,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const answer = await listEntries(this.store, this.view, this.tokens, this.monitor.reads, {
      token,
      namespace: namespaceOf(url),
      prefix: query.prefix,
      limit: query.limit,
      level: parseReadLevel(header(HEADERS.readConsistency)),
      directives: parseCacheControl(header(HEADERS.cacheControl)),
      consistencyToken: header(HEADERS.consistencyToken),
    });
    sendAnswer(reply, answer);
  }

  @Get('*')
  @Needs('entries:read')
  async read(@RequestHead() { token, url, header }: RequestHead, @Res() reply: FastifyReply): Promise<void> {
    const { namespace, key } = entryPathOf(url);
    const answer = await readEntry(this.store, this.view, this.tokens, this.monitor.reads, {
      token,
      namespace,
      key,
      level: parseReadLevel(header(HEADERS.readConsistency)),
      directives: parseCacheControl(header(HEADERS.cacheControl)),
      consistencyToken: header(HEADERS.consistencyToken),
      ifNoneMatch: header(HEADERS.ifNoneMatch),
    });
    sendAnswer(reply, answer);
  }

  @Put('*')
  @Needs('entries:write')
  async put(
    @RequestHead() { token, url, header }: RequestHead,
    @Body() value: Buffer | undefined,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const { namespace, key } = entryPathOf(url);
    const answer = await putEntry(this.store, this.view, this.tokens, {
      token,
      namespace,
      key,
      condition: parseCondition(header(HEADERS.ifMatch), header(HEADERS.ifNoneMatch)),
      idempotencyKey: checkedIdempotencyKey(header(HEADERS.idempotencyKey)),
      value: value ?? Buffer.alloc(0),
    });
    sendAnswer(reply, answer);
  }

  @Delete('*')
  @Needs('entries:write')
  async delete(
    @RequestHead() { token, url, header }: RequestHead,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const { namespace, key } = entryPathOf(url);
    const answer = await deleteEntry(this.store, this.view, this.tokens, {
      token,
      namespace,
      key,
      condition: parseCondition(header(HEADERS.ifMatch), header(HEADERS.ifNoneMatch)),
      idempotencyKey: checkedIdempotencyKey(header(HEADERS.idempotencyKey)),
    });
    sendAnswer(reply, answer);
  }
}
