import { Module } from '@nestjs/common';
import { StoreModule } from '../store/store.module.js';
import { VIEW, type View } from '../store/store.js';
import { GatewayMetrics } from './gateway-metrics.js';
import { MetricsController } from './metrics.controller.js';

@Module({
  imports: [StoreModule],
  controllers: [MetricsController],
  providers: [
    { provide: GatewayMetrics, inject: [VIEW], useFactory: (view: View) => new GatewayMetrics(view) },
  ],
  exports: [GatewayMetrics],
})
export class MetricsModule {}
