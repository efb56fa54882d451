import type { ClusterFile } from '@quorate/api';
import { Controller, Get, Inject, Res } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import { CLUSTER_FILE } from '../configuration/secrets.js';
import { jsonAnswer, sendAnswer } from '../http/answer.js';
import { Needs } from '../request/needs.js';
import { STORE, VIEW, type Store, type View } from '../store/store.js';
import { clusterAnswer } from './cluster-answer.js';

@Controller('v1/cluster')
export class ClusterController {
  constructor(
    @Inject(STORE) private readonly store: Store,
    @Inject(VIEW) private readonly view: View,
    @Inject(CLUSTER_FILE) private readonly cluster: ClusterFile,
  ) {}

  @Get()
  @Needs('cluster:read')
  async read(@Res() reply: FastifyReply): Promise<void> {
    const members = await this.store.members();
    await sendAnswer(reply, jsonAnswer(200, {}, clusterAnswer(this.cluster, members, this.view.status())));
  }
}
