import {
  HEADERS,
  namespaceBodySchema,
  readersBodySchema,
  type NamespaceBody,
  type ReadersBody,
} from '@quorate/api';
import { Body, Controller, Delete, Get, Inject, Put, Res } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import { checkedIdempotencyKey } from '../entries/write-entry.js';
import { sendAnswer } from '../http/answer.js';
import { namespaceOf } from '../http/raw-path.js';
import { RequestHead } from '../http/request-head.js';
import { Needs } from '../request/needs.js';
import { ConsistencyTokens } from '../store/consistency-tokens.js';
import { STORE, VIEW, type Store, type View } from '../store/store.js';
import { createNamespace, deleteNamespace, listNamespaces, readNamespace, setReaders } from './namespaces.js';

@Controller('v1/namespaces')
export class NamespacesController {
  constructor(
    @Inject(STORE) private readonly store: Store,
    @Inject(VIEW) private readonly view: View,
    private readonly tokens: ConsistencyTokens,
  ) {}

  @Get()
  @Needs('namespaces:read')
  async list(@RequestHead() { token, header }: RequestHead, @Res() reply: FastifyReply): Promise<void> {
    const read = { token, consistencyToken: header(HEADERS.consistencyToken) };
    sendAnswer(reply, await listNamespaces(this.store, this.tokens, read));
  }

  @Get(':namespace')
  @Needs('namespaces:read')
  async read(@RequestHead() { token, url, header }: RequestHead, @Res() reply: FastifyReply): Promise<void> {
    const answer = await readNamespace(this.store, this.tokens, {
      token,
      namespace: namespaceOf(url),
      consistencyToken: header(HEADERS.consistencyToken),
    });
    sendAnswer(reply, answer);
  }

  @Put(':namespace')
  @Needs('namespaces:write')
  async create(
    @RequestHead() { token, url, header }: RequestHead,
    @Body({ schema: namespaceBodySchema }) body: NamespaceBody,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const answer = await createNamespace(this.store, this.view, this.tokens, {
      token,
      namespace: namespaceOf(url),
      kind: body.kind,
      idempotencyKey: checkedIdempotencyKey(header(HEADERS.idempotencyKey)),
    });
    sendAnswer(reply, answer);
  }

  @Put(':namespace/readers')
  @Needs('namespaces:write')
  async setReaders(
    @RequestHead() { token, url, header }: RequestHead,
    @Body({ schema: readersBodySchema }) { readers }: ReadersBody,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const answer = await setReaders(this.store, this.view, this.tokens, {
      token,
      namespace: namespaceOf(url),
      readers,
      idempotencyKey: checkedIdempotencyKey(header(HEADERS.idempotencyKey)),
    });
    sendAnswer(reply, answer);
  }

  @Delete(':namespace')
  @Needs('namespaces:write')
  async delete(
    @RequestHead() { token, url, header }: RequestHead,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const answer = await deleteNamespace(this.store, this.view, this.tokens, {
      token,
      namespace: namespaceOf(url),
      idempotencyKey: checkedIdempotencyKey(header(HEADERS.idempotencyKey)),
    });
    sendAnswer(reply, answer);
  }
}
