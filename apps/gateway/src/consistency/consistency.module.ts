import { Module } from '@nestjs/common';
import { StoreModule } from '../store/store.module.js';
import { ConsistencyController } from './consistency.controller.js';

@Module({ imports: [StoreModule], controllers: [ConsistencyController] })
export class ConsistencyModule {}
