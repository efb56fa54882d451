import { existsSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import type { Found } from '../packages.js';
import { HOST, type Peer, type PeerKind, printed } from './peer.js';

/** What the server uses; its own list names where the jars would be if they were installed. */
const ZOOKEEPER_JARS =
  'zookeeper-jute commons-cli commons-io metrics-core slf4j-api slf4j-simple snappy-java netty-all netty-buffer netty-codec netty-common netty-handler netty-resolver netty-transport'.split(
    ' ',
  );
const SERVER_LOOK_MS = 1_000;

export const ZOOKEEPER: PeerKind = {
  wanted: {
    name: 'zookeeper',
    package: 'libzookeeper-java',
    dependencies: /^lib(commons-cli|commons-io|dropwizard-metrics|netty(-[a-z0-9]+)?|slf4j|snappy)-java$/,
    file: 'usr/share/java/zookeeper.jar',
    newestFirst: true,
  },
  make: zookeeper,
};

function zookeeper({ path, root, origin }: Found): Peer {
  const jars = ZOOKEEPER_JARS.map((name) => join(root, 'usr/share/java', `${name}.jar`)).filter(existsSync);
  const classes = ['-cp', [path, ...jars].join(':')];
  const said = printed('java', [...classes, 'org.apache.zookeeper.version.VersionInfoMain']);
  const version = /version (\d+(\.\d+)*)/.exec(said)?.[1] ?? 'of unknown version';
  return {
    name: 'zookeeper',
    title: `ZooKeeper ${version}`,
    origin,
    isDurable: true,
    durability: 'on the disks of a majority (log synced, batched)',
    reads: 'sync, then read: not linearizable (a leader that is cut off still answers)',
    nodes: 3,
    warmMs: 8_000,
    command: (node, all) => {
      writeFileSync(join(node.folder, 'myid'), String(node.index + 1));
      const file = join(node.folder, 'zoo.cfg');
      const lines = [
        'tickTime=2000',
        'initLimit=10',
        'syncLimit=5',
        'admin.enableServer=false',
        'maxClientCnxns=0',
        `dataDir=${node.folder}`,
        `clientPortAddress=${HOST}`,
        `clientPort=${node.ports[0]}`,
        ...all.map(({ index, ports }) => `server.${index + 1}=${HOST}:${ports[1]}:${ports[2]}`),
      ];
      writeFileSync(file, `${lines.join('\n')}\n`);
      return {
        command: 'java',
        parameters: [
          '-Xmx1000m',
          '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn',
          '-Dzookeeper.jmx.log4j.disable=true',
          ...[...classes, 'org.apache.zookeeper.server.quorum.QuorumPeerMain', file],
        ],
      };
    },
    leads: async (node) => /Mode: (leader|standalone)/.test(await zookeeperSays(node.ports[0])),
  };
}

/** Its answer to the four letters that ask for the state; empty when there is none. */
function zookeeperSays(port: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, HOST, () => socket.write('srvr'));
    let text = '';
    socket.setTimeout(SERVER_LOOK_MS, () => socket.destroy());
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
    });
    socket.on('close', () => resolve(text));
    socket.on('error', () => resolve(''));
  });
}
