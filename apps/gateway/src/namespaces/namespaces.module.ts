import { Module } from '@nestjs/common';
import { StoreModule } from '../store/store.module.js';
import { NamespacesController } from './namespaces.controller.js';

@Module({ imports: [StoreModule], controllers: [NamespacesController] })
export class NamespacesModule {}
