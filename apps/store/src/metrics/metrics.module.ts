import { Controller, Get, Header, Module } from '@nestjs/common';
import { LinkModule } from '../link/link.module.js';
import { Links } from '../link/links.js';
import { Member } from '../replica/member.js';
import { ReplicaModule } from '../replica/replica.module.js';
import { Metrics } from './metrics.js';

@Controller()
export class MetricsController {
  constructor(
    private readonly metrics: Metrics,
    private readonly member: Member,
    private readonly links: Links,
  ) {}

  @Get('metrics')
  @Header('Content-Type', 'text/plain; version=0.0.4; charset=utf-8')
  @Header('Cache-Control', 'no-store')
  text(): Promise<string> {
    return this.metrics.text(this.member, this.links);
  }
}

/** The member's numbers in Prometheus' format, at /metrics of the health port. */
@Module({ imports: [ReplicaModule, LinkModule], controllers: [MetricsController] })
export class MetricsModule {}
