import {
  QuorateError,
  snapshotBodySchema,
  transferBodySchema,
  type ClusterFile,
  type TransferBody,
} from '@quorate/api';
import { Body, Controller, Get, Inject, Logger, Post, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { CLUSTER_FILE } from '../configuration/secrets.js';
import { jsonAnswer, sendAnswer } from '../http/answer.js';
import { CallerToken } from '../request/caller.js';
import { Needs } from '../request/needs.js';
import { LocalAccess } from '../store/local-access.js';
import { STORE, VIEW, type Store, type View } from '../store/store.js';
import { openBackup } from './backup.js';
import { clusterAnswer } from './cluster-answer.js';
import { takeSnapshot, transferLeadership } from './cluster-commands.js';

@Controller('v1/cluster')
export class ClusterController {
  private readonly logger = new Logger('Backup');

  constructor(
    @Inject(STORE) private readonly store: Store,
    @Inject(VIEW) private readonly view: View,
    @Inject(CLUSTER_FILE) private readonly cluster: ClusterFile,
    private readonly access: LocalAccess,
  ) {}

  @Get()
  @Needs('cluster:read')
  async read(@CallerToken() token: string, @Res() reply: FastifyReply): Promise<void> {
    await this.access.require(token, 'cluster:read');
    const members = await this.store.members();
    sendAnswer(reply, jsonAnswer(200, {}, clusterAnswer(this.cluster, members, this.view.status())));
  }

  @Post('transfer')
  @Needs('cluster:admin')
  async transfer(
    @CallerToken() token: string,
    @Body({ schema: transferBodySchema.default({}) }) body: TransferBody,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    sendAnswer(reply, await transferLeadership(this.store, token, body));
  }

  @Post('snapshot')
  @Needs('cluster:admin')
  async snapshot(
    @CallerToken() token: string,
    @Body({ schema: snapshotBodySchema.default({}) }) _body: object,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    sendAnswer(reply, await takeSnapshot(this.store, token));
  }

  /** A stream that fails after its head was sent takes the connection with it: nobody may mistake a part for the whole. */
  @Get('backup')
  @Needs('cluster:admin')
  async backup(
    @CallerToken() token: string,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    // The router answers HEAD by running GET: a snapshot would be taken for nobody.
    if (request.method === 'HEAD') throw new QuorateError('ROUTE_NOT_FOUND');
    const { fileName, stream } = await openBackup(this.store, this.cluster, token, (error) =>
      this.logger.warn(`A backup broke off: ${error instanceof Error ? error.message : String(error)}`),
    );
    await reply
      .status(200)
      .headers({
        'Cache-Control': 'no-store',
        'Content-Type': 'application/octet-stream',
        'Content-Disposition': `attachment; filename="${fileName}"`,
      })
      .send(stream);
  }
}
