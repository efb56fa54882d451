import { Module } from '@nestjs/common';
import { StoreModule } from '../store/store.module.js';
import { AccessController } from './access.controller.js';

@Module({ imports: [StoreModule], controllers: [AccessController] })
export class AccessModule {}
