import { Controller, Get, Inject, Res } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import { sendAnswer } from '../http/answer.js';
import { CallerToken } from '../request/caller.js';
import { Needs } from '../request/needs.js';
import { LocalAccess } from '../store/local-access.js';
import { VIEW, type View } from '../store/store.js';
import { consistencyAnswer } from './consistency-answer.js';
import { ConsistencyMonitor } from './consistency-monitor.js';

@Controller('v1/consistency')
export class ConsistencyController {
  constructor(
    @Inject(VIEW) private readonly view: View,
    private readonly monitor: ConsistencyMonitor,
    private readonly access: LocalAccess,
  ) {}

  @Get()
  @Needs('cluster:read')
  async read(@CallerToken() token: string, @Res() reply: FastifyReply): Promise<void> {
    await this.access.require(token, 'cluster:read');
    sendAnswer(reply, consistencyAnswer(this.view, this.monitor));
  }
}
