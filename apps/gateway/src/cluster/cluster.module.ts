import { Module } from '@nestjs/common';
import { StoreModule } from '../store/store.module.js';
import { ClusterController } from './cluster.controller.js';

@Module({ imports: [StoreModule], controllers: [ClusterController] })
export class ClusterModule {}
