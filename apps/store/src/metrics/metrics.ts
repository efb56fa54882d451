import { Injectable } from '@nestjs/common';
import { Counter, Gauge, Registry, collectDefaultMetrics } from 'prom-client';
import type { Links } from '../link/links.js';
import type { Member } from '../replica/member.js';

/** The numbers of one member. Gauges are filled when they are asked for, from what the member says about itself. */
@Injectable()
export class Metrics {
  readonly #registry = new Registry();
  readonly #requests: Counter<'request' | 'outcome'>;
  readonly #gauges = new Map<string, Gauge>();

  constructor() {
    collectDefaultMetrics({ register: this.#registry });
    this.#requests = new Counter({
      name: 'quorate_store_requests_total',
      help: 'Requests answered over links, by type and outcome (done, or an error code).',
      labelNames: ['request', 'outcome'],
      registers: [this.#registry],
    });
  }

  answered(request: string, outcome: string): void {
    this.#requests.inc({ request, outcome });
  }

  /** The exposition text of this moment. */
  async text(member: Member, links: Links): Promise<string> {
    this.#fromStatus(member);
    this.#fromCounts(member, links);
    return this.#registry.metrics();
  }

  #fromStatus(member: Member): void {
    const status = member.condition();
    this.#set('quorate_store_up', 'The member takes part.', status === null ? 0 : 1);
    if (status === null) return;
    this.#set('quorate_raft_term', 'Raft term.', status.term);
    this.#set('quorate_raft_leads', '1 while this member is the leader.', status.role === 'leader' ? 1 : 0);
    this.#set('quorate_raft_leader', 'The leader that this member knows, 0 for none.', status.leader ?? 0);
    this.#set(
      'quorate_quorum',
      '1 while this member believes that there is a quorum.',
      status.quorum ? 1 : 0,
    );
    this.#set('quorate_raft_commit_index', 'Newest committed log index.', status.commitIndex);
    this.#set('quorate_raft_applied_index', 'Newest applied log index.', status.appliedIndex);
    this.#set('quorate_raft_last_index', 'Newest log index.', status.lastIndex);
    this.#set('quorate_store_revision', 'Newest revision.', status.revision);
    this.#set('quorate_store_entries', 'Entries in all namespaces.', status.entries);
    this.#set('quorate_raft_first_index', 'Lowest log index that is not compacted away.', status.firstIndex);
    this.#set(
      'quorate_snapshot_index',
      'Log index of the newest durable snapshot, 0 for none.',
      status.snapshotIndex,
    );
    this.#set('quorate_wal_log_bytes', "Bytes of the log's files.", status.logBytes);
    this.#set('quorate_disk_stalled', '1 while the disk finishes no writes.', status.diskStalled ? 1 : 0);
    this.#set('quorate_diverged', "1 when the state differs from the majority's.", status.diverged ? 1 : 0);
    this.#set(
      'quorate_recovering',
      '1 while the member that lost its log fetches it from the others.',
      status.recovering ? 1 : 0,
    );
    const reachable = status.peers.filter((peer) => peer.reachable).length;
    this.#set('quorate_link_peers_reachable', 'Peers with an open link.', reachable);
  }

  #fromCounts(member: Member, links: Links): void {
    const counts = member.counts();
    const server = links.counts;
    if (counts === null || server === null) return;
    this.#set(
      'quorate_wal_written_bytes',
      'Bytes written to the log since the start.',
      counts.wal.bytesWritten,
    );
    this.#set('quorate_wal_syncs', 'Group fsyncs since the start.', counts.wal.syncs);
    this.#set('quorate_wal_waiting', 'Batches that wait for an fsync.', counts.wal.waiting);
    this.#set('quorate_feed_published', 'Feed messages for NATS since the start.', counts.feed.published);
    this.#set('quorate_feed_pushed', 'Feed messages pushed over links since the start.', counts.feed.pushed);
    this.#set('quorate_feed_subscribers', 'Feed subscribers on links.', counts.feed.subscribers);
    this.#set('quorate_feed_nats_connected', '1 while NATS is connected.', counts.natsConnected ? 1 : 0);
    const dropped = counts.feed.dropped + (counts.nats?.dropped ?? 0);
    this.#set('quorate_feed_dropped', 'Feed messages that were dropped; consumers pull them.', dropped);
    this.#set('quorate_link_connections', 'Accepted connections that are open.', server.open);
    this.#set('quorate_link_refused', 'Connections refused since the start.', server.refused);
    this.#set('quorate_link_raft_dropped', 'Raft messages dropped since the start.', links.raftDropped);
  }

  #set(name: string, help: string, value: number): void {
    let gauge = this.#gauges.get(name);
    if (gauge === undefined) {
      gauge = new Gauge({ name, help, registers: [this.#registry] });
      this.#gauges.set(name, gauge);
    }
    gauge.set(value);
  }
}
