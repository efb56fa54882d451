import { Controller, Get, Inject, Res } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import { sendAnswer } from '../http/answer.js';
import { Needs } from '../request/needs.js';
import { VIEW, type View } from '../store/store.js';
import { consistencyAnswer } from './consistency-answer.js';
import { ConsistencyMonitor } from './consistency-monitor.js';

@Controller('v1/consistency')
export class ConsistencyController {
  constructor(
    @Inject(VIEW) private readonly view: View,
    private readonly monitor: ConsistencyMonitor,
  ) {}

  @Get()
  @Needs('cluster:read')
  async read(@Res() reply: FastifyReply): Promise<void> {
    sendAnswer(reply, consistencyAnswer(this.view, this.monitor));
  }
}
