import {
  HEADERS,
  checkBodySchema,
  entityBodySchema,
  listQuerySchema,
  parseCondition,
  tokenBodySchema,
  type CheckBody,
  type EntityBody,
  type ListQuery,
  type TokenBody,
} from '@quorate/api';
import { Body, Controller, Delete, Get, HttpCode, Inject, Post, Put, Query, Res } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import { checkedIdempotencyKey } from '../entries/write-entry.js';
import { sendAnswer } from '../http/answer.js';
import { entityOf, policyIdOf, tokenIdOfPath } from '../http/raw-path.js';
import { RequestHead, type HeaderReader } from '../http/request-head.js';
import { Needs } from '../request/needs.js';
import { ConsistencyTokens } from '../store/consistency-tokens.js';
import { STORE, type Store } from '../store/store.js';
import {
  deleteAccess,
  entityKey,
  policyKey,
  policyTextOf,
  putAccess,
  readAccess,
  type AccessRead,
  type AccessWrite,
} from './access-entries.js';
import { createToken, listTokens, revokeToken } from './access-tokens.js';
import { checkAccess } from './check.js';

@Controller('v1/access')
export class AccessController {
  constructor(
    @Inject(STORE) private readonly store: Store,
    private readonly tokens: ConsistencyTokens,
  ) {}

  @Post('check')
  @HttpCode(200)
  @Needs('access:check')
  async check(
    @RequestHead() { token, header }: RequestHead,
    @Body({ schema: checkBodySchema }) body: CheckBody,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const consistencyToken = header(HEADERS.consistencyToken);
    const answer = await checkAccess(this.store, this.tokens, { token, check: body, consistencyToken });
    sendAnswer(reply, answer);
  }

  @Post('tokens')
  @Needs('access:write')
  async createToken(
    @RequestHead() { token, header }: RequestHead,
    @Body({ schema: tokenBodySchema }) body: TokenBody,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const idempotencyKey = header(HEADERS.idempotencyKey);
    sendAnswer(reply, await createToken(this.store, this.tokens, { token, body, idempotencyKey }));
  }

  @Get('tokens')
  @Needs('access:read')
  async listTokens(
    @RequestHead() { token, header }: RequestHead,
    @Query({ schema: listQuerySchema }) { prefix, limit }: ListQuery,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const consistencyToken = header(HEADERS.consistencyToken);
    sendAnswer(reply, await listTokens(this.store, this.tokens, { token, prefix, limit, consistencyToken }));
  }

  @Delete('tokens/:id')
  @Needs('access:write')
  async revokeToken(
    @RequestHead() { token, url, header }: RequestHead,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const revoke = {
      token,
      id: tokenIdOfPath(url),
      idempotencyKey: checkedIdempotencyKey(header(HEADERS.idempotencyKey)),
    };
    sendAnswer(reply, await revokeToken(this.store, this.tokens, revoke));
  }

  @Put('policies/:id')
  @Needs('access:write')
  async putPolicy(
    @RequestHead() { token, url, header }: RequestHead,
    @Body() body: Buffer | undefined,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const write = writeOf(token, policyKey(policyIdOf(url)), header);
    const text = policyTextOf(body ?? Buffer.alloc(0), header('Content-Type'));
    sendAnswer(reply, await putAccess(this.store, this.tokens, { ...write, value: jsonBytes(text) }));
  }

  @Get('policies/:id')
  @Needs('access:read')
  async readPolicy(
    @RequestHead() { token, url, header }: RequestHead,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const read = readOf(token, policyKey(policyIdOf(url)), header);
    sendAnswer(reply, await readAccess(this.store, this.tokens, read));
  }

  @Delete('policies/:id')
  @Needs('access:write')
  async deletePolicy(
    @RequestHead() { token, url, header }: RequestHead,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const write = writeOf(token, policyKey(policyIdOf(url)), header);
    sendAnswer(reply, await deleteAccess(this.store, this.tokens, write));
  }

  @Put('entities/:type/:id')
  @Needs('access:write')
  async putEntity(
    @RequestHead() { token, url, header }: RequestHead,
    @Body({ schema: entityBodySchema }) body: EntityBody,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const write = writeOf(token, entityKey(entityOf(url)), header);
    sendAnswer(reply, await putAccess(this.store, this.tokens, { ...write, value: jsonBytes(body) }));
  }

  @Get('entities/:type/:id')
  @Needs('access:read')
  async readEntity(
    @RequestHead() { token, url, header }: RequestHead,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const read = readOf(token, entityKey(entityOf(url)), header);
    sendAnswer(reply, await readAccess(this.store, this.tokens, read));
  }

  @Delete('entities/:type/:id')
  @Needs('access:write')
  async deleteEntity(
    @RequestHead() { token, url, header }: RequestHead,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const write = writeOf(token, entityKey(entityOf(url)), header);
    sendAnswer(reply, await deleteAccess(this.store, this.tokens, write));
  }
}

function readOf(token: string, key: string, header: HeaderReader): AccessRead {
  return {
    token,
    key,
    ifNoneMatch: header(HEADERS.ifNoneMatch),
    consistencyToken: header(HEADERS.consistencyToken),
  };
}

function writeOf(token: string, key: string, header: HeaderReader): AccessWrite {
  return {
    token,
    key,
    condition: parseCondition(header(HEADERS.ifMatch), header(HEADERS.ifNoneMatch)),
    idempotencyKey: checkedIdempotencyKey(header(HEADERS.idempotencyKey)),
  };
}

function jsonBytes(value: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(value));
}
