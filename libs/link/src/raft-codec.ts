import { ByteReader, ByteWriter, DecodeError } from '@quorate/kv';
import type { LogEntry, LogIndex, MemberId, Message, Term } from '@quorate/raft';
import { logIndex, memberId, term } from '@quorate/raft';
import { FRAME_BYTES_MAX } from './frames.js';

const PRE_VOTE_REQUEST = 1;
const PRE_VOTE_RESPONSE = 2;
const VOTE_REQUEST = 3;
const VOTE_RESPONSE = 4;
const APPEND_REQUEST = 5;
const APPEND_RESPONSE = 6;
const HEARTBEAT_REQUEST = 7;
const HEARTBEAT_RESPONSE = 8;
const SNAPSHOT_OFFER = 9;
const SNAPSHOT_CHUNK_REQUEST = 10;
const SNAPSHOT_CHUNK = 11;
const TIMEOUT_NOW = 12;
const READ_INDEX_REQUEST = 13;
const READ_INDEX_RESPONSE = 14;
const STATE_HASH_REPORT = 15;
const STATE_HASH_BYTES = 16;
const KIND_NOOP = 0;
const KIND_COMMAND = 1;
const NUMBER_OF_TYPE: Record<Message['type'], number> = {
  preVoteRequest: PRE_VOTE_REQUEST,
  preVoteResponse: PRE_VOTE_RESPONSE,
  voteRequest: VOTE_REQUEST,
  voteResponse: VOTE_RESPONSE,
  appendRequest: APPEND_REQUEST,
  appendResponse: APPEND_RESPONSE,
  heartbeatRequest: HEARTBEAT_REQUEST,
  heartbeatResponse: HEARTBEAT_RESPONSE,
  snapshotOffer: SNAPSHOT_OFFER,
  snapshotChunkRequest: SNAPSHOT_CHUNK_REQUEST,
  snapshotChunk: SNAPSHOT_CHUNK,
  timeoutNow: TIMEOUT_NOW,
  readIndexRequest: READ_INDEX_REQUEST,
  readIndexResponse: READ_INDEX_RESPONSE,
  stateHashReport: STATE_HASH_REPORT,
};

/** The wire form of a Raft message: the payload of one frame. */
export function encodeMessage(message: Message): Uint8Array {
  const writer = new ByteWriter();
  writeMessage(writer, message);
  return writer.finish();
}

/** Appends the wire form of a Raft message. */
export function writeMessage(writer: ByteWriter, message: Message): void {
  writer.u8(NUMBER_OF_TYPE[message.type]);
  writer.u16(message.from);
  writer.u16(message.to);
  writer.u53(message.term);
  switch (message.type) {
    case 'preVoteRequest':
      writer.u53(message.lastIndex);
      writer.u53(message.lastTerm);
      break;
    case 'voteRequest':
      writer.u53(message.lastIndex);
      writer.u53(message.lastTerm);
      writer.boolean(message.transfer);
      break;
    case 'preVoteResponse':
      writer.boolean(message.granted);
      break;
    case 'voteResponse':
      writer.u53(message.lastIndex);
      writer.u53(message.lastTerm);
      writer.boolean(message.granted);
      break;
    case 'appendRequest':
      writer.u53(message.previousIndex);
      writer.u53(message.previousTerm);
      writer.u53(message.commit);
      writer.u32(message.entries.length);
      for (const entry of message.entries) writeLogEntry(writer, entry);
      break;
    case 'appendResponse':
      writer.boolean(message.accepted);
      writer.u53(message.matchIndex);
      writer.u53(message.rejectedIndex);
      writer.u53(message.hintIndex);
      writer.u53(message.hintTerm);
      writer.u53(message.recovery);
      break;
    case 'heartbeatRequest':
      writer.u53(message.commit);
      writer.u53(message.leaderCommit);
      writer.u53(message.readRound);
      writer.u53(message.recovery);
      writer.u53(message.recoveryIndex);
      break;
    case 'heartbeatResponse':
      writer.u53(message.readRound);
      writer.u53(message.recovery);
      break;
    case 'snapshotOffer':
      writePoint(writer, message);
      break;
    case 'snapshotChunkRequest':
      writePoint(writer, message);
      writer.u32(message.chunk);
      break;
    case 'snapshotChunk':
      writePoint(writer, message);
      writer.u32(message.chunk);
      writer.u32(message.chunkCount);
      writer.u32(message.digest);
      writer.bytes(message.data);
      break;
    case 'timeoutNow':
      break;
    case 'readIndexRequest':
      writer.u53(message.readId);
      break;
    case 'readIndexResponse':
      writer.u53(message.readId);
      writer.u53(message.index);
      break;
    case 'stateHashReport':
      writer.u53(message.index);
      writer.u53(message.revision);
      writeStateHash(writer, message.stateHash);
      break;
  }
}

/** Total: a message or a DecodeError. */
export function decodeMessage(bytes: Uint8Array): Message {
  const reader = new ByteReader(bytes);
  const message = readMessage(reader);
  reader.end();
  return message;
}

function readMessage(reader: ByteReader): Message {
  const type = reader.u8();
  const envelope = { from: readMemberId(reader), to: readMemberId(reader), term: readTerm(reader) };
  switch (type) {
    case PRE_VOTE_REQUEST:
      return {
        type: 'preVoteRequest',
        ...envelope,
        lastIndex: readIndex(reader),
        lastTerm: readTerm(reader),
      };
    case PRE_VOTE_RESPONSE:
      return { type: 'preVoteResponse', ...envelope, granted: reader.boolean() };
    case VOTE_REQUEST:
      return {
        type: 'voteRequest',
        ...envelope,
        lastIndex: readIndex(reader),
        lastTerm: readTerm(reader),
        transfer: reader.boolean(),
      };
    case VOTE_RESPONSE:
      return {
        type: 'voteResponse',
        ...envelope,
        lastIndex: readIndex(reader),
        lastTerm: readTerm(reader),
        granted: reader.boolean(),
      };
    case APPEND_REQUEST: {
      const previousIndex = readIndex(reader);
      const previousTerm = readTerm(reader);
      const commit = readIndex(reader);
      const entries = readLogEntries(reader, previousIndex);
      return { type: 'appendRequest', ...envelope, previousIndex, previousTerm, commit, entries };
    }
    case APPEND_RESPONSE:
      return {
        type: 'appendResponse',
        ...envelope,
        accepted: reader.boolean(),
        matchIndex: readIndex(reader),
        rejectedIndex: readIndex(reader),
        hintIndex: readIndex(reader),
        hintTerm: readTerm(reader),
        recovery: reader.u53(),
      };
    case HEARTBEAT_REQUEST:
      return {
        type: 'heartbeatRequest',
        ...envelope,
        commit: readIndex(reader),
        leaderCommit: readIndex(reader),
        readRound: reader.u53(),
        recovery: reader.u53(),
        recoveryIndex: readIndex(reader),
      };
    case HEARTBEAT_RESPONSE:
      return { type: 'heartbeatResponse', ...envelope, readRound: reader.u53(), recovery: reader.u53() };
    case SNAPSHOT_OFFER:
      return { type: 'snapshotOffer', ...envelope, ...readPoint(reader) };
    case SNAPSHOT_CHUNK_REQUEST:
      return { type: 'snapshotChunkRequest', ...envelope, ...readPoint(reader), chunk: reader.u32() };
    case SNAPSHOT_CHUNK:
      return { type: 'snapshotChunk', ...envelope, ...readPoint(reader), ...readChunk(reader) };
    case TIMEOUT_NOW:
      return { type: 'timeoutNow', ...envelope };
    case READ_INDEX_REQUEST:
      return { type: 'readIndexRequest', ...envelope, readId: reader.u53() };
    case READ_INDEX_RESPONSE:
      return { type: 'readIndexResponse', ...envelope, readId: reader.u53(), index: readIndex(reader) };
    case STATE_HASH_REPORT:
      return {
        type: 'stateHashReport',
        ...envelope,
        index: readIndex(reader),
        revision: reader.u53(),
        stateHash: readStateHash(reader),
      };
    default:
      throw new DecodeError(`unknown raft message ${type}`);
  }
}

function writeLogEntry(writer: ByteWriter, entry: LogEntry): void {
  writer.u53(entry.index);
  writer.u53(entry.term);
  writer.u8(entry.kind === 'noop' ? KIND_NOOP : KIND_COMMAND);
  writer.bytes(entry.payload);
}

function readLogEntries(reader: ByteReader, previousIndex: LogIndex): LogEntry[] {
  const count = reader.u32();
  const entries: LogEntry[] = [];
  let expected = previousIndex + 1;
  // A count beyond the bytes ends in a DecodeError at the first missing byte: nothing is allocated by it.
  for (let number = 0; number < count; number += 1) {
    const entry = readLogEntry(reader);
    // Raft asserts that a request has no hole; what comes from outside must be refused before it gets there.
    if (entry.index !== expected) throw new DecodeError(`entry ${entry.index} where ${expected} was due`);
    expected += 1;
    entries.push(entry);
  }
  return entries;
}

function readLogEntry(reader: ByteReader): LogEntry {
  const index = readIndex(reader);
  const entryTerm = readTerm(reader);
  const kind = reader.u8();
  // A part of the frame, which is kept with it and never written over: the entries of one frame are given up together.
  const payload = reader.view(FRAME_BYTES_MAX);
  if (kind === KIND_COMMAND) return { index, term: entryTerm, kind: 'command', payload };
  if (kind !== KIND_NOOP) throw new DecodeError(`unknown entry kind ${kind}`);
  if (payload.length > 0) throw new DecodeError('a noop with a payload');
  return { index, term: entryTerm, kind: 'noop', payload };
}

interface PointFields {
  readonly snapshotIndex: LogIndex;
  readonly snapshotTerm: Term;
}

function writePoint(writer: ByteWriter, point: PointFields): void {
  writer.u53(point.snapshotIndex);
  writer.u53(point.snapshotTerm);
}

function readPoint(reader: ByteReader): PointFields {
  const point = { snapshotIndex: readIndex(reader), snapshotTerm: readTerm(reader) };
  // Every entry has an index and a term from 1 on: a snapshot of nothing is never offered, and Raft asserts so.
  if (point.snapshotIndex === 0 || point.snapshotTerm === 0) throw new DecodeError('a snapshot of nothing');
  return point;
}

function readChunk(reader: ByteReader) {
  const chunk = reader.u32();
  const chunkCount = reader.u32();
  const digest = reader.u32();
  const data = reader.bytes(FRAME_BYTES_MAX);
  if (chunk >= chunkCount) throw new DecodeError(`chunk ${chunk} of ${chunkCount}`);
  return { chunk, chunkCount, digest, data };
}

/** The hash is text everywhere else, and half as many bytes here. */
function writeStateHash(writer: ByteWriter, stateHash: string): void {
  for (let number = 0; number < STATE_HASH_BYTES; number += 1) {
    writer.u8(Number.parseInt(stateHash.slice(2 * number, 2 * number + 2), 16));
  }
}

function readStateHash(reader: ByteReader): string {
  let stateHash = '';
  for (let number = 0; number < STATE_HASH_BYTES; number += 1) {
    stateHash += reader.u8().toString(16).padStart(2, '0');
  }
  return stateHash;
}

function readMemberId(reader: ByteReader): MemberId {
  const id = reader.u16();
  if (id === 0) throw new DecodeError('member id 0');
  return memberId(id);
}

function readTerm(reader: ByteReader): Term {
  return term(reader.u53());
}

function readIndex(reader: ByteReader): LogIndex {
  return logIndex(reader.u53());
}
