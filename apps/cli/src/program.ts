import { BASE_PORT, GATEWAY_PORT, LIST_LIMIT_DEFAULT } from '@quorate/api';
import { Command } from 'commander';
import { readFile } from 'node:fs/promises';
import { text as readStream } from 'node:stream/consumers';
import { check, deleteEntity, deletePolicy, putEntity, putPolicy } from './access-commands.js';
import { backUp, verifyBackup } from './backup-commands.js';
import { clusterStatus, snapshot, transfer } from './cluster-commands.js';
import type { PlannedMember } from './cluster-file.js';
import { CommandError } from './command-error.js';
import { consistency } from './consistency-command.js';
import type { ExitCode } from './command-error.js';
import { DEFAULT_MEMBERS, dev } from './dev.js';
import {
  createNamespace,
  deleteEntry,
  deleteNamespace,
  getEntry,
  listEntries,
  listNamespaces,
  putEntry,
  setReaders,
} from './entry-commands.js';
import { init } from './init.js';
import { runMember } from './member.js';
import { parseDataFolder, parseMemberCount, parsePort, planDevCluster, planHosts } from './plan.js';
import type { GatewayAccess } from './rest.js';
import { restore } from './restore.js';
import { type TokenOptions, createToken, listTokens, revokeToken } from './token-commands.js';

/** What a command line needs of the process it runs in. */
export interface ProgramEnvironment {
  readonly print: (line: string) => void;
  readonly setExitCode: (code: ExitCode) => void;
  /** Aborted when the process is asked to end. Only commands that run on ask for it. */
  readonly stopSignal: () => AbortSignal;
}

/** The highest base from which every derived port (seven members) still exists. */
const BASE_PORT_MAX = 65_535 - 71;

/** The whole command line of `quorate`. */
export function buildProgram(environment: ProgramEnvironment): Command {
  const program = new Command('quorate').description(
    'A configuration store that never lies about consistency',
  );
  addDev(program, environment);
  addInit(program, environment);
  addEntries(program, environment);
  addNamespaces(program, environment);
  addAccess(program, environment);
  addCluster(program, environment);
  return program;
}

function addDev(program: Command, environment: ProgramEnvironment): void {
  program
    .command('dev')
    .description(
      'run a whole cluster on this machine: members, a gateway, and NATS when there is a nats-server',
    )
    .option('--port <port>', 'port of the gateway (default: 8080)')
    .option('--dir <folder>', 'where everything is kept', '.quorate')
    .option('--members <count>', 'number of members of a new cluster (default: 3)')
    .option('--base-port <port>', 'first of the other ports of a new cluster (default: 7400)')
    .option(
      '--nats <mode>',
      'auto: if found; off; install: fetch Debian’s nats-server if there is none',
      'auto',
    )
    .action(async (options: Record<string, string | undefined>) => {
      const { port, dir = '.quorate', members, basePort, nats = 'auto' } = options;
      if (nats !== 'auto' && nats !== 'off' && nats !== 'install') {
        throw new CommandError(`--nats must be auto, off or install, not "${nats}".`);
      }
      await dev({
        folder: dir,
        port: port === undefined ? GATEWAY_PORT : parsePort('--port', port),
        memberCount: members === undefined ? null : parseMemberCount(members),
        basePort: basePort === undefined ? null : parsePort('--base-port', basePort, BASE_PORT_MAX),
        nats,
        print: environment.print,
        stop: environment.stopSignal(),
      });
    });
  program
    .command('member')
    .description('one member of a cluster of `quorate dev`')
    .command('start <id>')
    .description('run a member that had ended, in the foreground')
    .option('--dir <folder>', 'the folder of the cluster', '.quorate')
    .action(async (id: string, { dir }: { dir: string }) => {
      const code = await runMember(dir, parseCount('<id>', id));
      environment.setExitCode(code === 0 ? 0 : 1);
    });
}

function addInit(program: Command, { print }: ProgramEnvironment): void {
  const collect = (value: string, before: readonly string[]): readonly string[] => [...before, value];
  program
    .command('init')
    .description('make cluster.json, secrets and nats.conf of a cluster of machines, and format data folders')
    .option('--dir <folder>', 'where to write', '.quorate')
    .requiredOption('--hosts <names>', 'host of each member, separated by commas')
    .option('--members <count>', 'number of members (default: one per host)')
    .option('--link-port <port>', 'link port of every member', '7410')
    .option('--health-port <port>', 'health and metrics port of every member', '7411')
    .option('--nats-host <name>', 'host by which NATS is reached', 'nats')
    .option('--nats-port <port>', 'port of NATS', '4222')
    .option('--data <id=folder>', 'data folder of a member, to be formatted (repeatable)', collect, [])
    .action(async (options: Record<string, string> & { data: readonly string[] }) => {
      const hosts = (options['hosts'] ?? '').split(',').map((host) => host.trim());
      const { members } = options;
      await init({
        folder: options['dir'] ?? '.quorate',
        hosts,
        memberCount: parseMemberCount(members ?? String(hosts.length)),
        linkPort: parsePort('--link-port', options['linkPort'] ?? ''),
        healthPort: parsePort('--health-port', options['healthPort'] ?? ''),
        natsHost: options['natsHost'] ?? 'nats',
        natsPort: parsePort('--nats-port', options['natsPort'] ?? ''),
        dataFolders: new Map(options.data.map(parseDataFolder).map(({ id, folder }) => [id, folder])),
        print,
      });
    });
}

/** Adds the two options that every command against a gateway has. */
function gatewayCommand(parent: Command, usage: string, description: string): Command {
  return parent
    .command(usage)
    .description(description)
    .option('--url <url>', 'the gateway', `http://127.0.0.1:${GATEWAY_PORT}`)
    .option('--token-file <file>', 'file with the bearer token', '.quorate/admin.token');
}

function addEntries(program: Command, { print }: ProgramEnvironment): void {
  const printAll = (lines: readonly string[]): void => lines.forEach(print);
  gatewayCommand(program, 'get <namespace> <key>', 'print the value of an entry')
    .option('--consistency <level>', 'eventual, bounded;ms=500, session or linearizable')
    .option('-v, --verbose', 'also print revision, source and staleness', false)
    .action(
      async (
        namespace: string,
        key: string,
        options: GatewayAccess & { consistency?: string; verbose: boolean },
      ) => {
        const { consistency = null, verbose } = options;
        printAll(await getEntry(options, namespace, key, { consistency, verbose }));
      },
    );
  gatewayCommand(program, 'put <namespace> <key> <value>', 'put a JSON value; - reads it from standard input')
    .option('--if-revision <revision>', 'only if the entry is still of this revision')
    .option('--create', 'only if there is no such entry', false)
    .option('--idempotency-key <key>', 'repeat an earlier put of unknown outcome without doing it twice')
    .action(
      async (
        namespace: string,
        key: string,
        value: string,
        options: GatewayAccess & { ifRevision?: string; create: boolean; idempotencyKey?: string },
      ) => {
        const { ifRevision, create, idempotencyKey = null } = options;
        const json = value === '-' ? await readStream(process.stdin) : value;
        printAll(
          await putEntry(options, namespace, key, json, {
            ifRevision: ifRevision === undefined ? null : parseCount('--if-revision', ifRevision),
            create,
            idempotencyKey,
          }),
        );
      },
    );
  gatewayCommand(program, 'delete <namespace> <key>', 'delete an entry').action(
    async (namespace: string, key: string, options: GatewayAccess) =>
      printAll(await deleteEntry(options, namespace, key)),
  );
  gatewayCommand(program, 'list <namespace>', 'list entries')
    .option('--prefix <prefix>', 'only keys that begin with this', '')
    .option('--limit <count>', 'at most so many, up to 1000', String(LIST_LIMIT_DEFAULT))
    .action(async (namespace: string, options: GatewayAccess & { prefix: string; limit: string }) => {
      const { prefix } = options;
      const limit = parseCount('--limit', options.limit);
      printAll(await listEntries(options, namespace, { prefix, limit }));
    });
}

function addNamespaces(program: Command, { print }: ProgramEnvironment): void {
  const namespace = program.command('namespace').description('create, delete and list namespaces');
  gatewayCommand(namespace, 'create <name>', 'create a namespace; its name keeps its kind for ever')
    .requiredOption('--kind <kind>', 'strict (always linearizable) or cached')
    .action(async (name: string, options: GatewayAccess & { kind: string }) => {
      (await createNamespace(options, name, options.kind)).forEach(print);
    });
  gatewayCommand(namespace, 'delete <name>', 'delete a namespace and its entries').action(
    async (name: string, options: GatewayAccess) => {
      (await deleteNamespace(options, name)).forEach(print);
    },
  );
  gatewayCommand(
    namespace,
    'readers <name> [principals...]',
    'set who may read the entries of a cached namespace, besides the admin',
  )
    .option('--anyone', 'whoever may read entries at all', false)
    .option('--nobody', 'the admin only', false)
    .action(async (name: string, principals: string[], options: GatewayAccess & ReadersOptions) => {
      const said = [principals.length > 0, options.anyone, options.nobody].filter(Boolean);
      if (said.length !== 1) throw new CommandError('Say one of these: principals, --anyone, --nobody.');
      (await setReaders(options, name, options.anyone ? null : principals)).forEach(print);
    });
  gatewayCommand(namespace, 'list', 'list the namespaces').action(async (options: GatewayAccess) => {
    (await listNamespaces(options)).forEach(print);
  });
}

function addAccess(program: Command, environment: ProgramEnvironment): void {
  const { print, setExitCode } = environment;
  const access = program
    .command('access')
    .description('ask for decisions; change policies, entities and tokens');
  addTokens(access, environment);
  gatewayCommand(
    access,
    'check <principal> <action> <resource>',
    'may User::alice do read on Document::plan?',
  )
    .option('--context <json>', 'circumstances, a JSON object', '{}')
    .action(
      async (
        principal: string,
        action: string,
        resource: string,
        options: GatewayAccess & { context: string },
      ) => {
        const { context } = options;
        const { lines, exitCode } = await check(options, { principal, action, resource, context });
        lines.forEach(print);
        setExitCode(exitCode);
      },
    );
  gatewayCommand(
    access,
    'put-policy <id> <file>',
    'put a Cedar policy; - reads it from standard input',
  ).action(async (id: string, file: string, options: GatewayAccess) => {
    const text = file === '-' ? await readStream(process.stdin) : await readText(file);
    (await putPolicy(options, id, text)).forEach(print);
  });
  gatewayCommand(access, 'delete-policy <id>', 'delete a policy').action(
    async (id: string, options: GatewayAccess) => {
      (await deletePolicy(options, id)).forEach(print);
    },
  );
  gatewayCommand(access, 'put-entity <entity>', 'put an entity like User::alice')
    .option('--attributes <json>', 'its attributes, a JSON object', '{}')
    .option('--parents <entities...>', 'groups and other parents, each type::id', [])
    .action(async (name: string, options: GatewayAccess & { attributes: string; parents: string[] }) => {
      const { attributes, parents } = options;
      (await putEntity(options, name, { attributes, parents })).forEach(print);
    });
  gatewayCommand(access, 'delete-entity <entity>', 'delete an entity').action(
    async (name: string, options: GatewayAccess) => {
      (await deleteEntity(options, name)).forEach(print);
    },
  );
}

function addTokens(access: Command, { print }: ProgramEnvironment): void {
  const token = access.command('token').description('make, list and revoke access tokens');
  gatewayCommand(token, 'create <name>', 'make a token and print it: it is shown this once')
    .requiredOption('--principal <principal>', 'whom it stands for')
    .requiredOption(
      '--scopes <scopes...>',
      'what it may do: entries:read, entries:write@content, and so on; "*" for everything',
    )
    .option('--expires <instant>', 'when it ends, like 2027-01-31T12:00:00Z (default: never)')
    .action(async (name: string, options: GatewayAccess & TokenOptions) => {
      (await createToken(options, name, options)).forEach(print);
    });
  gatewayCommand(token, 'list', 'list the tokens; their ids are the beginnings of their hashes')
    .option('--prefix <prefix>', 'only ids that begin with this', '')
    .option('--limit <count>', 'at most so many, up to 1000', String(LIST_LIMIT_DEFAULT))
    .action(async (options: GatewayAccess & { prefix: string; limit: string }) => {
      const limit = parseCount('--limit', options.limit);
      (await listTokens(options, { prefix: options.prefix, limit })).forEach(print);
    });
  gatewayCommand(token, 'revoke <id>', 'revoke a token').action(
    async (id: string, options: GatewayAccess) => {
      (await revokeToken(options, id)).forEach(print);
    },
  );
}

function addCluster(program: Command, { print }: ProgramEnvironment): void {
  gatewayCommand(
    program,
    'consistency',
    'how consistent the cache of a gateway is: bound, how soon writes are visible, audit',
  ).action(async (options: GatewayAccess) => {
    (await consistency(options)).forEach(print);
  });
  const cluster = program.command('cluster').description('look after a cluster');
  gatewayCommand(cluster, 'status', 'members, leader, quorum, alarms, and how old the cache is').action(
    async (options: GatewayAccess) => {
      (await clusterStatus(options)).forEach(print);
    },
  );
  gatewayCommand(cluster, 'transfer', 'hand leadership to another member, before its machine is worked on')
    .option('--to <id>', 'the member (default: the nearest follower)')
    .action(async (options: GatewayAccess & { to?: string }) => {
      const to = options.to === undefined ? null : parseCount('--to', options.to);
      (await transfer(options, to)).forEach(print);
    });
  gatewayCommand(
    cluster,
    'snapshot',
    'make a member, as a rule the leader, take a durable snapshot now',
  ).action(async (options: GatewayAccess) => {
    (await snapshot(options)).forEach(print);
  });
  gatewayCommand(
    cluster,
    'backup <file>',
    'write a verified backup with every write acknowledged before; replaces no file',
  ).action(async (file: string, options: GatewayAccess) => {
    (await backUp(options, file)).forEach(print);
  });
  cluster
    .command('verify <file>')
    .description('verify a backup: its checksums, and that its state can be restored')
    .action(async (file: string) => {
      (await verifyBackup(file)).forEach(print);
    });
  cluster
    .command('restore <file>')
    .description('make a new cluster from a backup in an empty folder, for `quorate dev --dir`')
    .requiredOption('--data <folder>', 'the folder')
    .option('--members <count>', `number of members (default: one per host, else ${DEFAULT_MEMBERS})`)
    .option('--base-port <port>', 'first of the ports, all on this machine', String(BASE_PORT))
    .option('--hosts <names>', 'host of each member, separated by commas: for a cluster of machines')
    .option('--link-port <port>', 'with --hosts: link port of every member', '7410')
    .option('--health-port <port>', 'with --hosts: health and metrics port of every member', '7411')
    .action(async (file: string, options: RestorePlan & { data: string }) => {
      await restore({ file, folder: options.data, members: planRestored(options), print });
    });
}

interface ReadersOptions {
  readonly anyone: boolean;
  readonly nobody: boolean;
}

interface RestorePlan {
  readonly members?: string;
  readonly basePort: string;
  readonly hosts?: string;
  readonly linkPort: string;
  readonly healthPort: string;
}

/** Where the members of a restored cluster are to be. */
function planRestored(options: RestorePlan): readonly PlannedMember[] {
  if (options.hosts === undefined) {
    const basePort = parsePort('--base-port', options.basePort, BASE_PORT_MAX);
    return planDevCluster(parseMemberCount(options.members ?? String(DEFAULT_MEMBERS)), basePort).members;
  }
  const hosts = options.hosts.split(',').map((host) => host.trim());
  return planHosts(
    hosts,
    parseMemberCount(options.members ?? String(hosts.length)),
    parsePort('--link-port', options.linkPort),
    parsePort('--health-port', options.healthPort),
  );
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw new CommandError(
      `${path} cannot be read: ${error instanceof Error ? error.message : String(error)}.`,
    );
  }
}

function parseCount(option: string, text: string): number {
  if (!/^[1-9]\d{0,14}$/.test(text))
    throw new CommandError(`${option} must be a whole number from 1, not "${text}".`);
  return Number(text);
}
