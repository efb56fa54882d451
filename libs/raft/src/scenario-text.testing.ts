import {
  logIndex,
  memberId,
  term,
  type AppendRequest,
  type AppendResponse,
  type LogEntry,
  type LogIndex,
  type Message,
  type SnapshotPoint,
  type Term,
} from './types.js';

// Messages and entries as scenario files write them: what `describe` prints, `parseMessage` reads.

/** `2:1=hello`: index, term and payload; a payload of one letter many times is `x*100`. */
export function describeEntries(entries: readonly LogEntry[]): string {
  return entries.map((entry) => `${entry.index}:${entry.term}=${describePayload(entry)}`).join(' ');
}

function describePayload({ kind, payload }: LogEntry): string {
  if (kind === 'noop') return 'noop';
  const text = new TextDecoder().decode(payload);
  return text.length > 8 && text === text.charAt(0).repeat(text.length)
    ? `${text.charAt(0)}*${text.length}`
    : text;
}

/** The bytes of a payload as scenario files write it. */
export function payloadOf(text: string): Uint8Array {
  const repeated = /^(.)\*(\d+)$/.exec(text);
  return new TextEncoder().encode(repeated === null ? text : (repeated[1] ?? '').repeat(Number(repeated[2])));
}

/** `5:2`: index and term. */
export function describePoint(point: SnapshotPoint): string {
  return `${point.index}:${point.term}`;
}

export function parsePoint(text: string): SnapshotPoint {
  const [index, pointTerm] = text.split(':').map(Number);
  return { index: logIndex(index ?? Number.NaN), term: term(pointTerm ?? Number.NaN) };
}

export function describeMessage(message: Message): string {
  const head = `${message.from}>${message.to} ${message.type} term=${message.term}`;
  switch (message.type) {
    case 'preVoteRequest':
      return `${head} last=${message.lastIndex}:${message.lastTerm}`;
    case 'voteRequest':
      return `${head} last=${message.lastIndex}:${message.lastTerm}${message.transfer ? ' transfer' : ''}`;
    case 'preVoteResponse':
      return `${head} ${message.granted ? 'granted' : 'refused'}`;
    case 'voteResponse':
      return `${head} ${message.granted ? 'granted' : 'refused'} last=${message.lastIndex}:${message.lastTerm}`;
    case 'appendRequest':
      return `${head} after=${message.previousIndex}:${message.previousTerm} commit=${message.commit} [${describeEntries(message.entries)}]`;
    case 'appendResponse':
      return message.accepted
        ? `${head} match=${message.matchIndex}${recovery(message)}`
        : `${head} refused=${message.rejectedIndex} hint=${message.hintIndex}:${message.hintTerm}${recovery(message)}`;
    case 'heartbeatRequest':
      return `${head} commit=${message.commit} head=${message.leaderCommit} round=${message.readRound}${recovery(message)}${message.recovery === 0 ? '' : `:${message.recoveryIndex}`}`;
    case 'heartbeatResponse':
      return `${head} round=${message.readRound}${recovery(message)}`;
    case 'snapshotOffer':
      return `${head} point=${message.snapshotIndex}:${message.snapshotTerm}`;
    case 'timeoutNow':
      return head;
    case 'readIndexRequest':
      return `${head} read=${message.readId}`;
    case 'readIndexResponse':
      return `${head} read=${message.readId} index=${message.index}`;
    case 'snapshotChunkRequest':
    case 'snapshotChunk':
    case 'stateHashReport':
      return `${head} (from driver to driver)`;
  }
}

function recovery(message: { readonly recovery: number }): string {
  return message.recovery === 0 ? '' : ` recovery=${message.recovery}`;
}

/** Reads a message as `describeMessage` prints it; anything else is an error in the scenario file. */
export function parseMessage(text: string): Message {
  const found = /^(\d+)>(\d+) (\w+) term=(\d+) ?([^[]*)(?:\[(.*)\])?$/.exec(text);
  if (found === null) throw new Error(`not a message: ${text}`);
  const [, from, to, type, messageTerm, rest = '', entries = ''] = found;
  const envelope = {
    from: memberId(Number(from)),
    to: memberId(Number(to)),
    term: term(Number(messageTerm)),
  };
  const fields = new Map(
    rest
      .split(' ')
      .filter((word) => word !== '')
      .map((word) => {
        const [key = '', value = ''] = word.split('=');
        return [key, value];
      }),
  );
  const index = (key: string): LogIndex => logIndex(Number((fields.get(key) ?? '0').split(':')[0]));
  const termOf = (key: string): Term => term(Number((fields.get(key) ?? '0:0').split(':')[1]));
  const recovered = (fields.get('recovery') ?? '0:0').split(':').map(Number);
  const last = { lastIndex: index('last'), lastTerm: termOf('last') };
  switch (type) {
    case 'preVoteRequest':
      return { ...envelope, type, ...last };
    case 'voteRequest':
      return { ...envelope, type, ...last, transfer: fields.has('transfer') };
    case 'preVoteResponse':
      return { ...envelope, type, granted: fields.has('granted') };
    case 'voteResponse':
      return { ...envelope, type, granted: fields.has('granted'), ...last };
    case 'appendRequest':
      return {
        ...envelope,
        type,
        previousIndex: index('after'),
        previousTerm: termOf('after'),
        entries: parseEntries(entries),
        commit: index('commit'),
      } satisfies AppendRequest;
    case 'appendResponse':
      return {
        ...envelope,
        type,
        accepted: fields.has('match'),
        matchIndex: index('match'),
        rejectedIndex: index('refused'),
        hintIndex: index('hint'),
        hintTerm: termOf('hint'),
        recovery: recovered[0] ?? 0,
      } satisfies AppendResponse;
    case 'heartbeatRequest':
      return {
        ...envelope,
        type,
        commit: index('commit'),
        leaderCommit: index('head'),
        readRound: Number(fields.get('round')),
        recovery: recovered[0] ?? 0,
        recoveryIndex: logIndex(recovered[1] ?? 0),
      };
    case 'heartbeatResponse':
      return { ...envelope, type, readRound: Number(fields.get('round')), recovery: recovered[0] ?? 0 };
    case 'snapshotOffer':
      return { ...envelope, type, snapshotIndex: index('point'), snapshotTerm: termOf('point') };
    case 'timeoutNow':
      return { ...envelope, type };
    case 'readIndexRequest':
      return { ...envelope, type, readId: Number(fields.get('read')) };
    case 'readIndexResponse':
      return { ...envelope, type, readId: Number(fields.get('read')), index: index('index') };
    default:
      throw new Error(`not a kind of message: ${text}`);
  }
}

function parseEntries(text: string): LogEntry[] {
  return text
    .split(' ')
    .filter((word) => word !== '')
    .map((word) => {
      const found = /^(\d+):(\d+)=(.*)$/.exec(word);
      if (found === null) throw new Error(`not an entry: ${word}`);
      const noop = found[3] === 'noop';
      return {
        index: logIndex(Number(found[1])),
        term: term(Number(found[2])),
        kind: noop ? 'noop' : 'command',
        payload: noop ? new Uint8Array(0) : payloadOf(found[3] ?? ''),
      };
    });
}
