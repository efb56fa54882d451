import { Controller, Get, Header, Module } from '@nestjs/common';
import { HealthCheckService, HealthIndicatorService, TerminusModule } from '@nestjs/terminus';
import type { HealthCheckResult, HealthIndicatorResult } from '@nestjs/terminus';
import { Member } from '../replica/member.js';
import { ReplicaModule } from '../replica/replica.module.js';

/**
 * /healthz: the process works; never depends on peers. /readyz: the member has caught up since its start and can answer.
 * Quorum is a field in both and never their condition: restarting a member that lost its quorum would help nobody.
 */
@Controller()
export class HealthController {
  constructor(
    private readonly health: HealthCheckService,
    private readonly indicators: HealthIndicatorService,
    private readonly member: Member,
  ) {}

  @Get('healthz')
  @Header('Cache-Control', 'no-store')
  alive(): Promise<HealthCheckResult> {
    return this.health.check([() => this.#member(true)]);
  }

  @Get('readyz')
  @Header('Cache-Control', 'no-store')
  ready(): Promise<HealthCheckResult> {
    return this.health.check([() => this.#member(this.member.caughtUp)]);
  }

  #member(up: boolean): HealthIndicatorResult<'member'> {
    const indicator = this.indicators.check('member');
    const status = this.member.condition();
    if (status === null) return indicator.down({ quorum: false, leader: null });
    const { id, role, term, leader, quorum, appliedIndex, revision } = status;
    const facts = { id, role, term, leader, quorum, caughtUp: this.member.caughtUp, appliedIndex, revision };
    return up ? indicator.up(facts) : indicator.down(facts);
  }
}

@Module({
  imports: [TerminusModule.forRoot({ logger: false }), ReplicaModule],
  controllers: [HealthController],
})
export class HealthModule {}
