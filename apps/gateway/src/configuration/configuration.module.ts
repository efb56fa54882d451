import { Module, type DynamicModule } from '@nestjs/common';
import { ConfigModule, registerAs } from '@nestjs/config';
import { parseEnvironment, type Environment } from './environment.js';
import { CLUSTER_FILE, SECRETS, readClusterFile, readSecrets } from './secrets.js';

/** Injection token of the validated `QUORATE_*` variables. */
export const ENVIRONMENT = 'CONFIGURATION(gateway)';

/** The validated variables, the cluster file and the secrets. Whatever is wrong with them is said at start, once. */
@Module({})
export class ConfigurationModule {
  /** `variables`: as `process.env`. Starting fails with a ConfigurationError when they are wrong. */
  static forRoot(variables: Readonly<Record<string, string | undefined>>): DynamicModule {
    const gateway = registerAs('gateway', (): Environment => parseEnvironment(variables));
    return {
      module: ConfigurationModule,
      global: true,
      imports: [ConfigModule.forRoot({ ignoreEnvFile: true, ignoreEnvVars: true, load: [gateway] })],
      providers: [
        { provide: SECRETS, inject: [ENVIRONMENT], useFactory: readSecrets },
        { provide: CLUSTER_FILE, inject: [ENVIRONMENT], useFactory: readClusterFile },
      ],
      exports: [ConfigModule, SECRETS, CLUSTER_FILE],
    };
  }
}
