import {
  HEADERS,
  checkBodySchema,
  entityBodySchema,
  parseCondition,
  type CheckBody,
  type EntityBody,
} from '@quorate/api';
import { Body, Controller, Delete, Get, HttpCode, Inject, Post, Put, Res } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import { checkedIdempotencyKey } from '../entries/write-entry.js';
import { sendAnswer } from '../http/answer.js';
import { RawUrl, entityOf, policyIdOf } from '../http/raw-path.js';
import { RequestHeaders, type HeaderReader } from '../http/request-headers.js';
import { CallerToken } from '../request/caller.js';
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
    @CallerToken() token: string,
    @RequestHeaders() header: HeaderReader,
    @Body({ schema: checkBodySchema }) body: CheckBody,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const consistencyToken = header(HEADERS.consistencyToken);
    const answer = await checkAccess(this.store, this.tokens, { token, check: body, consistencyToken });
    await sendAnswer(reply, answer);
  }

  @Put('policies/:id')
  @Needs('access:write')
  async putPolicy(
    @CallerToken() token: string,
    @RawUrl() url: string,
    @RequestHeaders() header: HeaderReader,
    @Body() body: Buffer | undefined,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const write = writeOf(token, policyKey(policyIdOf(url)), header);
    const text = policyTextOf(body ?? Buffer.alloc(0), header('Content-Type'));
    await sendAnswer(reply, await putAccess(this.store, this.tokens, { ...write, value: jsonBytes(text) }));
  }

  @Get('policies/:id')
  @Needs('access:read')
  async readPolicy(
    @CallerToken() token: string,
    @RawUrl() url: string,
    @RequestHeaders() header: HeaderReader,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const read = readOf(token, policyKey(policyIdOf(url)), header);
    await sendAnswer(reply, await readAccess(this.store, this.tokens, read));
  }

  @Delete('policies/:id')
  @Needs('access:write')
  async deletePolicy(
    @CallerToken() token: string,
    @RawUrl() url: string,
    @RequestHeaders() header: HeaderReader,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const write = writeOf(token, policyKey(policyIdOf(url)), header);
    await sendAnswer(reply, await deleteAccess(this.store, this.tokens, write));
  }

  @Put('entities/:type/:id')
  @Needs('access:write')
  async putEntity(
    @CallerToken() token: string,
    @RawUrl() url: string,
    @RequestHeaders() header: HeaderReader,
    @Body({ schema: entityBodySchema }) body: EntityBody,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const write = writeOf(token, entityKey(entityOf(url)), header);
    await sendAnswer(reply, await putAccess(this.store, this.tokens, { ...write, value: jsonBytes(body) }));
  }

  @Get('entities/:type/:id')
  @Needs('access:read')
  async readEntity(
    @CallerToken() token: string,
    @RawUrl() url: string,
    @RequestHeaders() header: HeaderReader,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const read = readOf(token, entityKey(entityOf(url)), header);
    await sendAnswer(reply, await readAccess(this.store, this.tokens, read));
  }

  @Delete('entities/:type/:id')
  @Needs('access:write')
  async deleteEntity(
    @CallerToken() token: string,
    @RawUrl() url: string,
    @RequestHeaders() header: HeaderReader,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const write = writeOf(token, entityKey(entityOf(url)), header);
    await sendAnswer(reply, await deleteAccess(this.store, this.tokens, write));
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
