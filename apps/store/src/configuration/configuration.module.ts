import { Module } from '@nestjs/common';
import type { DynamicModule } from '@nestjs/common';
import { ConfigModule, ConfigService } from '@nestjs/config';
import { Log } from '../log.js';
import type { OwnCluster } from './cluster-file.js';
import type { StoreConfiguration } from './configuration.js';
import type { MemberSecrets } from './secrets.js';

/** Everything that a member is told before it starts, read and checked. */
export interface MemberSetup {
  readonly configuration: StoreConfiguration;
  readonly cluster: OwnCluster;
  readonly secrets: MemberSecrets;
  /** The process is to end at once, with this as the reason. */
  readonly fatal: (error: Error) => void;
}

/** The typed ConfigService of this app. */
export type SetupService = ConfigService<MemberSetup, true>;

/** Gives all modules the checked configuration, the cluster and the log. Nothing else reads the environment. */
@Module({})
export class ConfigurationModule {
  static of(setup: MemberSetup, log: Log): DynamicModule {
    return {
      module: ConfigurationModule,
      global: true,
      imports: [
        ConfigModule.forRoot({
          isGlobal: true,
          ignoreEnvFile: true,
          skipProcessEnv: true,
          load: [() => ({ ...setup })],
        }),
      ],
      providers: [{ provide: Log, useValue: log }],
      exports: [Log],
    };
  }
}
