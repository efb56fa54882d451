export { RAFT_LIMITS, Raft } from './raft.js';
export type { ProposeResult, RaftConfig, RaftLimits, RaftLoad, RaftRestored } from './raft.js';
export { quorumIndex, quorumSize, voteResult } from './quorum.js';
export { logIndex, memberId, term } from './types.js';
export type {
  AppendRequest,
  AppendResponse,
  ConfirmedRead,
  HardState,
  HeartbeatRequest,
  HeartbeatResponse,
  LogEntry,
  LogEntryKind,
  LogIndex,
  MemberId,
  Message,
  PreVoteRequest,
  PreVoteResponse,
  Ready,
  Role,
  Term,
  VoteRequest,
  VoteResponse,
} from './types.js';
