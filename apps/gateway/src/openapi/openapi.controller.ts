import { openApiDocument } from '@quorate/api';
import { Controller, Get, Res } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import { jsonAnswer, sendAnswer } from '../http/answer.js';
import { Public } from '../request/needs.js';

const API_VERSION = '1';

@Controller('openapi.json')
export class OpenApiController {
  private readonly answer = jsonAnswer(200, {}, openApiDocument(API_VERSION));

  /** The description of this API, made from the schemas that the requests are checked with. */
  @Get()
  @Public()
  async document(@Res() reply: FastifyReply): Promise<void> {
    sendAnswer(reply, this.answer);
  }
}
