export { ByteReader, ByteWriter, DecodeError, EncodeError, isWellFormed } from './bytes.js';
export {
  COMMAND_FORMAT,
  changeRevision,
  decodeCommand,
  decodeOperation,
  encodeCommand,
  encodeOperation,
  readChange,
  readChangeBatch,
  readEntry,
  readNamespaceRecord,
  readRegistrationStamp,
  writeChange,
  writeChangeBatch,
  writeEntry,
  writeNamespaceRecord,
  writeRegistrationStamp,
} from './codec.js';
export { areReaders, compareKeys, isKey, isNamespaceName } from './names.js';
export { FINGERPRINT_BYTES_MAX, IDEMPOTENCY_KEY_BYTES_MAX, PRINCIPAL_BYTES_MAX } from './rows.js';
export type { PublishedChanges, StateMachineLoad, StateMachineOptions } from './state-machine.js';
export { STATE_MACHINE_DEFAULTS, SnapshotRestorer, StateMachine } from './state-machine.js';
export type {
  ApplyErrorCode,
  ApplyResult,
  Change,
  ChangeBatch,
  Command,
  CommandBody,
  Condition,
  CreateNamespaceOperation,
  DeleteNamespaceOperation,
  DeleteOperation,
  Entry,
  IdempotencyStamp,
  NamespaceKind,
  NamespaceRecord,
  Operation,
  PutOperation,
  RegistrationStamp,
  Revision,
  SetReadersOperation,
} from './types.js';
export {
  ACCESS_NAMESPACE,
  KEY_BYTES_MAX,
  LIST_BYTES_MAX,
  LIST_LIMIT_MAX,
  listBytesOf,
  NAMESPACE_PATTERN,
  READERS_MAX,
  READER_BYTES_MAX,
  TOKENS_NAMESPACE,
  VALUE_BYTES_MAX,
  isBuiltInNamespace,
  revision,
} from './types.js';
