import { Module } from '@nestjs/common';
import { ConfigService } from '@nestjs/config';
import type { SetupService } from '../configuration/configuration.module.js';
import { Log } from '../log.js';
import { Links } from './links.js';

/** The links to peers, gateways and clients. They open when the replica starts, not before: nobody could answer. */
@Module({
  providers: [
    {
      provide: Links,
      inject: [ConfigService, Log],
      useFactory: (setup: SetupService, log: Log) => {
        const { host, plaintext } = setup.get('configuration', { infer: true });
        const { cluster, self } = setup.get('cluster', { infer: true });
        return new Links({
          cluster,
          self,
          secrets: setup.get('secrets', { infer: true }),
          host,
          plaintext,
          log,
        });
      },
    },
  ],
  exports: [Links],
})
export class LinkModule {}
