import { Module } from '@nestjs/common';
import { ConsistencyMonitor } from '../consistency/consistency-monitor.js';
import { StoreModule } from '../store/store.module.js';
import { VIEW, type View } from '../store/store.js';
import { GatewayMetrics } from './gateway-metrics.js';
import { MetricsController } from './metrics.controller.js';

@Module({
  imports: [StoreModule],
  controllers: [MetricsController],
  providers: [
    {
      provide: GatewayMetrics,
      inject: [VIEW, ConsistencyMonitor],
      useFactory: (view: View, monitor: ConsistencyMonitor) => new GatewayMetrics(view, monitor),
    },
  ],
  exports: [GatewayMetrics],
})
export class MetricsModule {}
