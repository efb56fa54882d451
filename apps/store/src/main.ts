#!/usr/bin/env node
import { parseArgs } from 'node:util';
import { readClusterFile } from './configuration/cluster-file.js';
import { StartError, parseConfiguration } from './configuration/configuration.js';
import { formatFolder, identityOf } from './data-folder/data-folder.js';
import { inspectFolder } from './data-folder/inspect.js';
import { Log } from './log.js';

const USAGE = `quorate-store                      run one member; its settings are QUORATE_* variables
quorate-store format --member N    give the empty folder QUORATE_DATA_DIR the identity of member N of QUORATE_CLUSTER_FILE. A member
                                   that lost its folder: it fetches everything from the others, and neither votes nor acknowledges before
quorate-store format --member N --new-cluster
                                   the same, for a cluster that never ran: all of its members begin from nothing
quorate-store wal [--last N]       list what the log in QUORATE_DATA_DIR holds; the member must be stopped
quorate-store verify FILE          verify a backup by restoring it in memory; writes nothing
quorate-store restore --member N --backup FILE
                                   give the empty folder QUORATE_DATA_DIR the identity of member N of QUORATE_CLUSTER_FILE, which
                                   must be of a later epoch than the backup, and the state of the backup
`;

/** Runs the command and returns the exit code; for a member that goes on running, null. */
async function main(parameters: readonly string[]): Promise<number | null> {
  const [command, ...rest] = parameters;
  if (command === undefined) return run();
  if (command === '--help' || command === 'help') {
    process.stdout.write(USAGE);
    return 0;
  }
  try {
    if (command === 'format') return await format(rest);
    if (command === 'wal') return await listWal(rest);
    if (command === 'verify') return await verify(rest);
    if (command === 'restore') return await restore(rest);
    throw new StartError(`There is no command "${command}".\n${USAGE}`);
  } catch (error) {
    if (!(error instanceof StartError)) throw error;
    process.stderr.write(`${error.message}\n`);
    return 1;
  }
}

async function run(): Promise<number | null> {
  let log = new Log('log', Number(process.env['QUORATE_MEMBER'] ?? 0));
  // P20, and whatever broke an assertion: the state in memory is not to be trusted with one more message.
  const fatal = (error: unknown): void => {
    const known = error instanceof Error ? error : new Error(String(error));
    log.error(`cannot go on: ${known.message}`, { error: known.name, stack: known.stack ?? null });
    process.exit(1);
  };
  process.on('uncaughtException', fatal);
  process.on('unhandledRejection', fatal);
  try {
    const configuration = parseConfiguration(process.env);
    log = new Log(configuration.logLevel, configuration.member);
    // The framework is loaded only by the command that needs it: the others start in a fraction of the time.
    const { runMember } = await import('./run.js');
    await runMember({ configuration, log, fatal });
    return null;
  } catch (error) {
    if (!(error instanceof StartError)) throw error;
    log.error(error.message);
    return 1;
  }
}

async function format(parameters: readonly string[]): Promise<number> {
  const isNewCluster = parameters.includes('--new-cluster');
  const { member } = readOptions(
    parameters.filter((parameter) => parameter !== '--new-cluster'),
    ['member'],
  );
  const id = wholeNumber('--member', member ?? process.env['QUORATE_MEMBER']);
  const directory = required('QUORATE_DATA_DIR');
  const { cluster, self } = readClusterFile(required('QUORATE_CLUSTER_FILE'), id);
  if (!isNewCluster && cluster.members.length === 1) {
    throw new StartError(
      `Member ${id} is the only one of its cluster: nobody could give it back what it lost. Restore a backup, or say --new-cluster.`,
    );
  }
  const formatFor = isNewCluster ? 'newCluster' : 'recovery';
  const formatted = await formatFolder(directory, identityOf(cluster, self), formatFor);
  process.stdout.write(
    formatted
      ? `Formatted ${directory} for member ${id} of ${isNewCluster ? 'the new ' : ''}cluster ${cluster.clusterId}.${isNewCluster ? '' : ' It takes no part until the others have given it everything.'}\n`
      : `${directory} is that of member ${id} of cluster ${cluster.clusterId} already: nothing changed.\n`,
  );
  return 0;
}

async function listWal(parameters: readonly string[]): Promise<number> {
  const { last } = readOptions(parameters, ['last']);
  const lines = await inspectFolder(required('QUORATE_DATA_DIR'), wholeNumber('--last', last ?? '20'));
  process.stdout.write(`${lines.join('\n')}\n`);
  return 0;
}

async function verify(parameters: readonly string[]): Promise<number> {
  const [file, more] = parameters;
  if (file === undefined || more !== undefined) throw new StartError(`Name one backup file.\n${USAGE}`);
  const { verifyBackup } = await import('./data-folder/backup.js');
  const { header, payloadBytes, entries, stateHash } = verifyBackup(file);
  process.stdout.write(
    `Verified ${file}: revision ${header.revision}, ${entries} entries, ${payloadBytes} bytes of state, state hash ${stateHash}\n`,
  );
  return 0;
}

async function restore(parameters: readonly string[]): Promise<number> {
  const { member, backup } = readOptions(parameters, ['member', 'backup']);
  const id = wholeNumber('--member', member ?? process.env['QUORATE_MEMBER']);
  if (backup === undefined) throw new StartError(`--backup must name a backup file.\n${USAGE}`);
  const directory = required('QUORATE_DATA_DIR');
  const { cluster, self } = readClusterFile(required('QUORATE_CLUSTER_FILE'), id);
  const { restoreFolder } = await import('./data-folder/backup.js');
  const { header } = await restoreFolder(backup, directory, identityOf(cluster, self));
  process.stdout.write(
    `Restored member ${id} of cluster ${cluster.clusterId}, epoch ${cluster.epoch}, in ${directory}: revision ${header.revision}\n`,
  );
  return 0;
}

function readOptions(
  parameters: readonly string[],
  names: readonly string[],
): Record<string, string | undefined> {
  try {
    const options = Object.fromEntries(names.map((name) => [name, { type: 'string' as const }]));
    const { values } = parseArgs({ args: [...parameters], options });
    return Object.fromEntries(
      names.map((name) => [name, typeof values[name] === 'string' ? values[name] : undefined]),
    );
  } catch (error) {
    throw new StartError(`${error instanceof Error ? error.message : String(error)}\n${USAGE}`);
  }
}

function wholeNumber(option: string, text: string | undefined): number {
  if (text === undefined || !/^\d{1,9}$/.test(text))
    throw new StartError(`${option} must be a whole number.`);
  return Number(text);
}

function required(name: string): string {
  const value = process.env[name];
  if (value === undefined || value === '') throw new StartError(`${name} must be set.`);
  return value;
}

const code = await main(process.argv.slice(2));
if (code !== null) process.exit(code);
