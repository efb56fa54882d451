import { Module } from '@nestjs/common';
import { MessagesModule } from '../messages/messages.module.js';
import { StoreModule } from '../store/store.module.js';
import { HealthController } from './health.controller.js';

@Module({ imports: [StoreModule, MessagesModule], controllers: [HealthController] })
export class HealthModule {}
