import { AssertionError } from 'node:assert';
import { TestCluster, TestMember, logOf } from './cluster.testing.js';
import type { RaftConfig } from './raft.js';
import {
  describeEntries,
  describeMessage,
  describePoint,
  parseMessage,
  parsePoint,
  payloadOf,
} from './scenario-text.testing.js';
import { logIndex, memberId, term, type Message } from './types.js';

/**
 * Runs a scenario: commands, one a line, each answered by what happened. M is a member's number, S a list of them (1,2,3).
 *
 * The cluster
 *   members N [limit=n ...]   new cluster (first command); limits are named in LIMITS below
 *   restore M term=T vote=V log=1,1,2 [commit=C] [recovery=R] [base=I:T] [snapshot=I:T]    member M starts from this disk (vote=- for none; the log begins
 *                             behind the base, log=- for none)
 *   spread M n                M's election timeouts are n ticks longer than the shortest, from its next draw on
 *   crash M                   the member loses what was not durable, and starts again
 *   wipe M r                  the member loses everything, and starts again under recovery r
 * What a member is asked
 *   campaign M | tick M [n] | propose M text | read M id | forget M L (its leader L is gone) | stalled M on/off
 *   (text: letters, or x*100 for a hundred x)
 *   snapshot M                it stores a snapshot of what it applied | compact M i (gives up entries up to i)
 *   install M I:T             it has stored a leader's snapshot (file durable, state restored) | file M I:T (the file only)
 *   served M F                it serves a chunk of its snapshot to F
 *   transfer M F              it is to hand its leadership to F
 *   process M                 take one Ready: shows what it wants written, sent and applied
 *   sync M [n]                the n oldest writes become durable (default all): shows what that releases
 * The network: one queue, in the order of sending
 *   deliver A>B [n]           the n oldest messages from A to B arrive (default all)
 *   drop A>B [n] | duplicate A>B | reverse A>B
 *   delay A>B [n] | release A>B       set messages aside, out of reach of all commands | put them back
 *   message A>B kind field=value ...  this message arrives, as traces print it, whoever sent it
 *   cut A>B ... | cut A-B ... | heal  messages on these ways are lost from now on, in `stabilize`, `settle` and the like
 * Everything at once
 *   stabilize [S]             process, sync and deliver until nothing moves (among these members only)
 *   settle [S] | elect M [S]  the same without its trace, after a campaign of M: shows the states only
 *   pass n [S]                n ticks pass for these members, each followed by `settle`: shows who changed role, term or leader
 * Looking
 *   state [M] | log M | match M, progress M (what a leader knows of the others) | bytes M | target M (who could lead soonest)
 *
 * When an invariant stops a member, the answer is `stops: ` and why.
 */
export class Scenario {
  #cluster = new TestCluster(0);
  #aside: Message[] = [];
  readonly #cuts = new Set<string>();

  run(line: string): string {
    const [command = '', ...words] = line.trim().split(/\s+/);
    const handler = this.#commands[command];
    if (handler === undefined) throw new Error(`unknown command: ${line}`);
    try {
      const out = handler(words);
      return out.length === 0 ? 'ok' : out.join('\n');
    } catch (error) {
      if (error instanceof AssertionError) return `stops: ${error.message.split('\n')[0]}`;
      throw error;
    }
  }

  readonly #commands: Record<string, (words: string[]) => string[]> = {
    members: ([count, ...limits]) => {
      this.#cluster = new TestCluster(Number(count), limitsOf(limits));
      return [];
    },
    restore: ([member, ...fields]) => this.#restore(Number(member), fields),
    spread: ([member, ticks]) => {
      this.#cluster.spreads.set(Number(member), Number(ticks));
      return [];
    },
    crash: ([member]) => this.#then(member, (m) => m.restart()),
    wipe: ([member, recovery]) => this.#then(member, (m) => m.wipe(Number(recovery))),
    campaign: ([member]) => this.#then(member, (m) => m.raft.campaign()),
    tick: ([member, count = '1']) =>
      this.#then(member, (m) => {
        for (let i = 0; i < Number(count); i++) m.raft.tick();
      }),
    propose: ([member, text = '']) => {
      const result = this.#member(member).raft.propose(payloadOf(text));
      return [
        result.type === 'proposed' ? `proposed at ${result.index} in term ${result.term}` : result.type,
      ];
    },
    read: ([member, id]) => {
      const result = this.#member(member).raft.readIndex(Number(id));
      return [result === 'waiting' ? 'waits for a round' : result];
    },
    snapshot: ([member]) =>
      this.#then(member, (m) => {
        m.snapshot();
      }),
    compact: ([member, index]) => this.#then(member, (m) => m.compact(Number(index))),
    install: ([member, point = '']) => {
      const result = this.#member(member).install(parsePoint(point));
      return [result, state(this.#member(member))];
    },
    file: ([member, point = '']) => this.#then(member, (m) => m.storeFile(parsePoint(point))),
    served: ([member, follower]) => {
      this.#member(member).raft.snapshotProgress(memberId(Number(follower)));
      return [];
    },
    transfer: ([member, to]) => [this.#member(member).raft.transfer(memberId(Number(to)))],
    target: ([member]) => [`${this.#member(member).raft.bestTransferTarget() ?? 'nobody'}`],
    bytes: ([member]) => {
      const { raft } = this.#member(member);
      return [`log ${raft.logBytes}, uncommitted ${raft.load.uncommittedBytes}`];
    },
    progress: ([member]) =>
      this.#member(member)
        .raft.inspect()
        .progress.map(
          (one) =>
            `${one.member} ${one.state} match=${one.matchIndex} next=${one.nextIndex}${one.state === 'replicate' ? '' : one.probeSent ? ' waits' : ' due'}`,
        ),
    forget: ([member, leader]) => {
      const forgotten = this.#member(member).raft.forgetLeader(memberId(Number(leader)));
      return [forgotten ? state(this.#member(member)) : 'that is not its leader'];
    },
    stalled: ([member, word]) =>
      this.#then(member, (m) => {
        m.raft.storageStalled = word === 'on';
      }),
    process: ([member]) => this.#process(this.#member(member)),
    sync: ([member, count]) =>
      this.#send(this.#member(member).sync(count === undefined ? undefined : Number(count))),
    deliver: ([route = '', count]) =>
      this.#take(route, count).map((message) => {
        this.#cluster.raft(message.to).step(message);
        return describeMessage(message);
      }),
    drop: ([route = '', count]) =>
      this.#take(route, count).map((message) => `lost ${describeMessage(message)}`),
    duplicate: ([route = '']) => {
      const copies = this.#take(route, undefined);
      this.#cluster.network.push(...copies, ...copies);
      return copies.map((message) => `twice ${describeMessage(message)}`);
    },
    reverse: ([route = '']) => {
      const reversed = this.#take(route, undefined).toReversed();
      this.#cluster.network.push(...reversed);
      return reversed.map((message) => `now ${describeMessage(message)}`);
    },
    delay: ([route = '', count]) => {
      const late = this.#take(route, count);
      this.#aside.push(...late);
      return late.map((message) => `late ${describeMessage(message)}`);
    },
    release: ([route = '']) => {
      const [back, rest] = split(this.#aside, route, Number.MAX_SAFE_INTEGER);
      this.#aside = rest;
      this.#cluster.network.push(...back);
      return back.map((message) => `back ${describeMessage(message)}`);
    },
    message: (words) => {
      const message = parseMessage(words.join(' '));
      this.#cluster.raft(message.to).step(message);
      return [state(this.#cluster.member(message.to))];
    },
    cut: (routes) => {
      for (const route of routes.flatMap(waysOf)) this.#cuts.add(route);
      return [];
    },
    heal: () => {
      this.#cuts.clear();
      return [];
    },
    stabilize: ([only]) => {
      const lines: string[] = [];
      this.#settle(listOf(only), lines);
      return lines;
    },
    settle: ([only]) => {
      this.#settle(listOf(only));
      return this.#states(listOf(only));
    },
    elect: ([member, only]) => {
      this.#member(member).raft.campaign();
      this.#settle(listOf(only));
      return this.#states(listOf(only));
    },
    pass: ([ticks, only]) => this.#pass(Number(ticks), listOf(only)),
    state: ([member]) => this.#states(listOf(member)),
    log: ([member]) => {
      const { raft } = this.#member(member);
      const held = Array.from(
        { length: raft.lastIndex - raft.firstIndex + 1 },
        (_, i) => raft.firstIndex + i,
      );
      return [held.map((index) => `${index}:${raft.termAt(index)}`).join(' ') || 'empty'];
    },
    match: ([member]) => {
      const { raft } = this.#member(member);
      return this.#cluster.members
        .filter((other) => other.config.self !== raft.self)
        .map(({ config: { self } }) => `${self} holds ${raft.matchIndexOf(self) ?? '-'}`);
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

  #states(only: readonly number[] | undefined): string[] {
    return (only === undefined ? this.#cluster.members : only.map((id) => this.#cluster.member(id))).map(
      state,
    );
  }

  #settle(only?: readonly number[], trace: string[] = []): void {
    this.#cluster.stabilize((message) => {
      const lost = this.#cuts.has(`${message.from}>${message.to}`);
      trace.push(`${lost ? 'lost ' : ''}${describeMessage(message)}`);
      return lost;
    }, only);
  }

  #pass(ticks: number, only: readonly number[] | undefined): string[] {
    const members = only === undefined ? this.#cluster.members : only.map((id) => this.#cluster.member(id));
    const brief = ({ raft }: TestMember): string =>
      `${raft.self} ${raft.role} term=${raft.term} leader=${raft.leader ?? '-'}`;
    const lines: string[] = [];
    let before = members.map(brief);
    for (let tick = 1; tick <= ticks; tick++) {
      for (const member of members) member.raft.tick();
      this.#settle(only);
      const now = members.map(brief);
      lines.push(...now.filter((text, i) => text !== before[i]).map((text) => `after ${tick}: ${text}`));
      before = now;
    }
    return lines.length === 0 ? ['nobody changes'] : lines;
  }

  #restore(id: number, fields: string[]): string[] {
    const value: Record<string, string | undefined> = Object.fromEntries(
      fields.map((field) => field.split('=')),
    );
    const terms = (listOf(value['log']) ?? []).filter((entryTerm) => entryTerm > 0);
    const base = parsePoint(value['base'] ?? '0:0');
    const old = this.#cluster.member(id);
    old.durable = {
      hardState: {
        term: term(Number(value['term'])),
        vote: value['vote'] === '-' ? null : memberId(Number(value['vote'])),
        commit: logIndex(Number(value['commit'] ?? 0)),
        recovery: Number(value['recovery'] ?? 0),
      },
      base,
      entries: logOf(terms, base.index),
      snapshot: value['snapshot'] === undefined ? null : parsePoint(value['snapshot']),
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
      const { term: t, vote, commit, recovery } = ready.hardState;
      const recovers = recovery === 0 ? '' : ` recovery=${recovery}`;
      lines.push(`write term=${t} vote=${vote ?? '-'} commit=${commit}${recovers}`);
    }
    if (ready.reset !== null) lines.push(`write reset ${describePoint(ready.reset)}`);
    if (ready.entries.length > 0) lines.push(`write entries ${describeEntries(ready.entries)}`);
    lines.push(...this.#send(sent));
    if (ready.committed.length > 0) lines.push(`apply ${describeEntries(ready.committed)}`);
    for (const read of ready.readsConfirmed) lines.push(`read ${read.id} confirmed at ${read.index}`);
    for (const id of ready.readsRejected) lines.push(`read ${id} rejected`);
    if (ready.snapshotOffered !== null)
      lines.push(`offered ${describePoint(ready.snapshotOffered.point)} by ${ready.snapshotOffered.from}`);
    return lines;
  }

  #send(messages: readonly Message[]): string[] {
    this.#cluster.network.push(...messages);
    return messages.map((message) => `send ${describeMessage(message)}`);
  }

  #take(route: string, count: string | undefined): Message[] {
    const max = count === undefined ? Number.MAX_SAFE_INTEGER : Number(count);
    const [taken, rest] = split(this.#cluster.network.splice(0), route, max);
    this.#cluster.network.push(...rest);
    return taken;
  }
}

const LIMITS = [
  'electionTimeoutTicks',
  'heartbeatTicks',
  'appendBytesMax',
  'inflightMessagesMax',
  'inflightBytesMax',
  'uncommittedBytesMax',
  'applyBytesMax',
  'readsWaitingMax',
] as const satisfies readonly (keyof RaftConfig)[];

function limitsOf(words: readonly string[]): Partial<RaftConfig> {
  return Object.fromEntries(
    words.map((word) => {
      const [key = '', value] = word.split('=');
      if (!LIMITS.some((limit) => limit === key)) throw new Error(`not a limit: ${word}`);
      return [key, Number(value)];
    }),
  );
}

function listOf(word: string | undefined): number[] | undefined {
  return word?.split(',').map(Number);
}

/** `1-2` is both ways, `1>2` one. */
function waysOf(route: string): string[] {
  const [a, b] = route.split('-');
  return b === undefined ? [route] : [`${a}>${b}`, `${b}>${a}`];
}

/** The first `max` messages on this way, and the others. */
function split(messages: readonly Message[], route: string, max: number): [Message[], Message[]] {
  const taken: Message[] = [];
  const rest: Message[] = [];
  for (const message of messages) {
    const wanted = taken.length < max && route === `${message.from}>${message.to}`;
    (wanted ? taken : rest).push(message);
  }
  return [taken, rest];
}

function state(member: TestMember): string {
  const { raft } = member;
  const snapshot = raft.snapshotPoint === null ? '' : ` snapshot=${describePoint(raft.snapshotPoint)}`;
  const extras = [
    raft.lostQuorum ? ' lost quorum' : '',
    raft.recovery === 0 ? '' : ` recovery=${raft.recovery}`,
    raft.firstIndex > 1 ? ` first=${raft.firstIndex}` : '',
    snapshot,
    raft.transferTarget === null ? '' : ` hands over to ${raft.transferTarget}`,
  ];
  return (
    `${raft.self} ${raft.role} term=${raft.term} vote=${raft.vote ?? '-'} leader=${raft.leader ?? '-'} ` +
    `applied=${raft.appliedIndex} commit=${raft.commitIndex} durable=${raft.durableIndex} last=${raft.lastIndex}${extras.join('')}`
  );
}
