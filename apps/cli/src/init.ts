import { prepareNats } from './nats.js';
import { CommandError } from './command-error.js';
import { planHosts } from './plan.js';
import { sameMembers } from './cluster-file.js';
import { clusterFilePath, setUpCluster } from './setup.js';

export interface InitOptions {
  readonly folder: string;
  readonly hosts: readonly string[];
  readonly memberCount: number;
  readonly linkPort: number;
  readonly healthPort: number;
  /** Data folder of each member that is to be formatted here. */
  readonly dataFolders: ReadonlyMap<number, string>;
  /** Host by which clients reach NATS. */
  readonly natsHost: string;
  readonly natsPort: number;
  readonly print: (line: string) => void;
}

/**
 * Makes the files of a cluster of containers or machines: cluster.json, a folder of secrets for members, gateways and clients,
 * nats.conf; and formats the data folders that are mounted here. A second run changes nothing: a data folder that was lost
 * since then is not formatted again, because its member must not take part as if nothing had happened.
 */
export async function init(options: InitOptions): Promise<void> {
  const { folder, hosts, memberCount, linkPort, healthPort, dataFolders, print } = options;
  const plan = planHosts(hosts, memberCount, linkPort, healthPort);
  for (const id of dataFolders.keys()) {
    if (!plan.some((member) => member.id === id)) {
      throw new CommandError(`--data names member ${id}, but the members are 1 to ${memberCount}.`);
    }
  }
  const { cluster, created } = await setUpCluster(folder, plan, dataFolders);
  if (!sameMembers(cluster.members, plan)) {
    throw new CommandError(
      `${clusterFilePath(folder)} describes other members than the options: nothing was changed. ` +
        'Call init with the hosts and ports that the cluster was made with.',
    );
  }
  await prepareNats(folder, cluster.clusterId, { host: '0.0.0.0', port: options.natsPort }, options.natsHost);
  if (!created) {
    print(`Cluster ${cluster.clusterId} in ${folder} exists already: nothing changed.`);
    return;
  }
  print(`Made cluster ${cluster.clusterId} of ${memberCount} in ${folder}.`);
  for (const [id, dataFolder] of dataFolders) print(`Formatted ${dataFolder} for member ${id}.`);
}
