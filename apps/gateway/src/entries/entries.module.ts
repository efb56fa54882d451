import { Module } from '@nestjs/common';
import { StoreModule } from '../store/store.module.js';
import { EntriesController } from './entries.controller.js';

@Module({ imports: [StoreModule], controllers: [EntriesController] })
export class EntriesModule {}
