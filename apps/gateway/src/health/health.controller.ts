import { Controller, Get, Inject, Res } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import { sendAnswer } from '../http/answer.js';
import { NATS_SERVER, type QuorateNatsServer } from '../messages/quorate-nats-server.js';
import { Public } from '../request/needs.js';
import { VIEW, type View } from '../store/store.js';
import { healthAnswer, readinessAnswer } from './health.js';

@Controller()
export class HealthController {
  constructor(
    @Inject(VIEW) private readonly view: View,
    @Inject(NATS_SERVER) private readonly nats: QuorateNatsServer | null,
  ) {}

  @Get('healthz')
  @Public()
  async health(@Res() reply: FastifyReply): Promise<void> {
    sendAnswer(reply, healthAnswer(this.view.status(), this.nats?.connectionState ?? 'off'));
  }

  @Get('readyz')
  @Public()
  async readiness(@Res() reply: FastifyReply): Promise<void> {
    sendAnswer(reply, readinessAnswer(this.view.status()));
  }
}
