import { TestCluster, TestMember } from './cluster.testing.js';
import { logIndex, memberId, term, type Message } from './types.js';

/**
 * Runs a scenario: commands, one a line, each answered by what happened. The language:
 *   members N                 new cluster (first command)
 *   restore M term=T vote=V log=1,1,2      member M starts from this disk (vote=- for none)
 *   campaign M | tick M [n] | propose M text | read M id
 *   process M                 take one Ready: shows what it wants written, sent and applied
 *   sync M [n]                the n oldest writes become durable (default all): shows what that releases
 *   deliver A>B [n]           the n oldest messages from A to B arrive (default all)
 *   drop A>B [n] | duplicate A>B
 *   stabilize [M,M...]        process, sync and deliver until nothing moves (among these members only)
 *   crash M                   the member loses what was not durable, and starts again
 *   state [M] | log M
 */
export class Scenario {
  #cluster = new TestCluster(0);

  run(line: string): string {
    const [command = '', ...words] = line.trim().split(/\s+/);
    const handler = this.#commands[command];
    if (handler === undefined) throw new Error(`unknown command: ${line}`);
    const out = handler(words);
    return out.length === 0 ? 'ok' : out.join('\n');
  }

  readonly #commands: Record<string, (words: string[]) => string[]> = {
    members: ([count]) => {
      this.#cluster = new TestCluster(Number(count));
      return [];
    },
    restore: ([member, ...fields]) => this.#restore(Number(member), fields),
    campaign: ([member]) => this.#then(member, (m) => m.raft.campaign()),
    tick: ([member, count = '1']) =>
      this.#then(member, (m) => {
        for (let i = 0; i < Number(count); i++) m.raft.tick();
      }),
    propose: ([member, text = '']) => {
      const result = this.#member(member).raft.propose(new TextEncoder().encode(text));
      return [
        result.type === 'proposed' ? `proposed at ${result.index} in term ${result.term}` : result.type,
      ];
    },
    read: ([member, id]) => {
      const result = this.#member(member).raft.readIndex(Number(id));
      return [result === 'waiting' ? 'waits for a round' : result];
    },
    process: ([member]) => this.#process(this.#member(member)),
    sync: ([member, count]) =>
      this.#send(this.#member(member).sync(count === undefined ? undefined : Number(count))),
    deliver: ([route = '', count]) =>
      this.#take(route, count).map((message) => {
        this.#cluster.raft(message.to).step(message);
        return describe(message);
      }),
    drop: ([route = '', count]) => this.#take(route, count).map((message) => `lost ${describe(message)}`),
    duplicate: ([route = '']) => {
      const copies = this.#take(route, undefined);
      this.#cluster.network.push(...copies, ...copies);
      return copies.map((message) => `twice ${describe(message)}`);
    },
    stabilize: ([only]) => {
      const lines: string[] = [];
      this.#cluster.stabilize((message) => {
        lines.push(describe(message));
        return false;
      }, only?.split(',').map(Number));
      return lines;
    },
    crash: ([member]) => this.#then(member, (m) => m.restart()),
    state: ([member]) => (member === undefined ? this.#cluster.members : [this.#member(member)]).map(state),
    log: ([member]) => {
      const { raft } = this.#member(member);
      return [Array.from({ length: raft.lastIndex }, (_, i) => `${i + 1}:${raft.termAt(i + 1)}`).join(' ')];
    },
  };

  #member(word: string | undefined): TestMember {
    return this.#cluster.member(Number(word));
  }

  #then(word: string | undefined, action: (member: TestMember) => void): string[] {
    const member = this.#member(word);
    action(member);
    return [state(member)];
  }

  #restore(id: number, fields: string[]): string[] {
    const value = Object.fromEntries(fields.map((field) => field.split('=')));
    const terms = String(value['log'] ?? '')
      .split(',')
      .filter((text) => text !== '')
      .map(Number);
    const scratch = new TestCluster(1, {}, { 1: terms });
    const old = this.#cluster.member(id);
    old.durable = {
      hardState: {
        term: term(Number(value['term'])),
        vote: value['vote'] === '-' ? null : memberId(Number(value['vote'])),
        commit: logIndex(0),
      },
      entries: scratch.member(1).durable.entries,
    };
    old.restart();
    return [state(old)];
  }

  #process(member: TestMember): string[] {
    const processed = member.process();
    if (processed === null) return ['nothing to do'];
    const { ready, sent } = processed;
    const lines: string[] = [];
    if (ready.hardState !== null) {
      const { term: t, vote, commit } = ready.hardState;
      lines.push(`write term=${t} vote=${vote ?? '-'} commit=${commit}`);
    }
    if (ready.entries.length > 0) lines.push(`write entries ${list(ready.entries)}`);
    lines.push(...this.#send(sent));
    if (ready.committed.length > 0) lines.push(`apply ${list(ready.committed)}`);
    for (const read of ready.readsConfirmed) lines.push(`read ${read.id} confirmed at ${read.index}`);
    for (const id of ready.readsRejected) lines.push(`read ${id} rejected`);
    return lines;
  }

  #send(messages: readonly Message[]): string[] {
    this.#cluster.network.push(...messages);
    return messages.map((message) => `send ${describe(message)}`);
  }

  #take(route: string, count: string | undefined): Message[] {
    const [from, to] = route.split('>').map(Number);
    const max = count === undefined ? Number.MAX_SAFE_INTEGER : Number(count);
    const taken: Message[] = [];
    const rest = this.#cluster.network.splice(0).filter((message) => {
      if (taken.length >= max || message.from !== from || message.to !== to) return true;
      taken.push(message);
      return false;
    });
    this.#cluster.network.push(...rest);
    return taken;
  }
}

function list(
  entries: readonly { index: number; term: number; kind: string; payload: Uint8Array }[],
): string {
  return entries
    .map(
      ({ index, term: t, kind, payload }) =>
        `${index}:${t}=${kind === 'noop' ? 'noop' : new TextDecoder().decode(payload)}`,
    )
    .join(' ');
}

function state(member: TestMember): string {
  const { raft } = member;
  return (
    `${raft.self} ${raft.role} term=${raft.term} vote=${raft.vote ?? '-'} leader=${raft.leader ?? '-'} ` +
    `applied=${raft.appliedIndex} commit=${raft.commitIndex} durable=${raft.durableIndex} last=${raft.lastIndex}`
  );
}

function describe(message: Message): string {
  const head = `${message.from}>${message.to} ${message.type} term=${message.term}`;
  switch (message.type) {
    case 'preVoteRequest':
    case 'voteRequest':
      return `${head} last=${message.lastIndex}:${message.lastTerm}`;
    case 'preVoteResponse':
    case 'voteResponse':
      return `${head} ${message.granted ? 'granted' : 'refused'}`;
    case 'appendRequest':
      return `${head} after=${message.previousIndex}:${message.previousTerm} commit=${message.commit} [${list(message.entries)}]`;
    case 'appendResponse':
      return message.accepted
        ? `${head} match=${message.matchIndex}`
        : `${head} refused=${message.rejectedIndex} hint=${message.hintIndex}:${message.hintTerm}`;
    case 'heartbeatRequest':
      return `${head} commit=${message.commit} round=${message.readRound}`;
    case 'heartbeatResponse':
      return `${head} round=${message.readRound}`;
  }
}
