import { Controller, Get, Res } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import { sendAnswer } from '../http/answer.js';
import { Public } from '../request/needs.js';
import { GatewayMetrics } from './gateway-metrics.js';

@Controller('metrics')
export class MetricsController {
  constructor(private readonly metrics: GatewayMetrics) {}

  @Get()
  @Public()
  async read(@Res() reply: FastifyReply): Promise<void> {
    const { registry } = this.metrics;
    const headers = { 'Content-Type': registry.contentType, 'Cache-Control': 'no-store' };
    sendAnswer(reply, { status: 200, headers, body: await registry.metrics() });
  }
}
