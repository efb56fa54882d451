import { failure, type StoreFailure, type TokenSummary } from '@quorate/api';
import {
  TOKEN_ID_LENGTH,
  TOKENS_MAX,
  decodeTokenRecord,
  isTokenId,
  isTokenKey,
  tokenIdOf,
} from '@quorate/api';
import { countOfOneAnswer } from './list-bounds.js';
import { TOKENS_NAMESPACE, type Entry, type Operation, type StateMachine } from '@quorate/kv';

/**
 * May this change inside the namespace `tokens` be proposed, given the state now? Null: yes. It is proposed for this revision of the
 * tokens only, so what is found here holds when it is applied. What a write that was sent before may have done itself is no ground
 * to refuse it: the state machine knows its answer.
 */
export function refuseTokenChange(machine: StateMachine, operation: Operation): StoreFailure | null {
  switch (operation.type) {
    case 'put': {
      const { key, value, condition } = operation;
      if (!isTokenKey(key)) return invalid('The key of a token is its SHA-256 in hex.');
      if (condition.type !== 'absent')
        return invalid('A token is never changed: revoke it and make another.');
      if (decodeTokenRecord(value) === null) return invalid('The value is no token record.');
      if (machine.get(TOKENS_NAMESPACE, key) !== undefined) return null;
      if (machine.entryCountOf(TOKENS_NAMESPACE) >= TOKENS_MAX) return failure('TOO_MANY_TOKENS');
      const { entries } = machine.list(TOKENS_NAMESPACE, { prefix: tokenIdOf(key), limit: 1 });
      return entries.length === 0 ? null : invalid('Another token has this id: make another token.');
    }
    case 'delete':
      if (!isTokenId(operation.key) && !isTokenKey(operation.key))
        return invalid('A token is named by the first 12 hex digits of its SHA-256, or by all of them.');
      return operation.condition.type === 'none' ? null : invalid('A token is revoked without a condition.');
    case 'createNamespace':
    case 'deleteNamespace':
    case 'setReaders':
      return null;
  }
}

/** The deletion of a token that is named by its id, with the token's key. Every other operation as it is. */
export function withTokenKey(machine: StateMachine, operation: Operation): Operation {
  if (operation.type !== 'delete' || !isTokenId(operation.key)) return operation;
  const { entries } = machine.list(TOKENS_NAMESPACE, { prefix: operation.key, limit: 1 });
  const key = entries[0]?.key;
  return key === undefined ? operation : { ...operation, key };
}

/** Tokens whose id begins with the prefix, in order of id. One that is malformed has no rights and is not shown. */
export function listTokens(
  machine: StateMachine,
  prefix: string,
  limit: number,
): { readonly tokens: readonly TokenSummary[]; readonly truncated: boolean } {
  // More than the id would let a caller try the rest of a hash, digit by digit.
  if (prefix.length > TOKEN_ID_LENGTH) return { tokens: [], truncated: false };
  const { entries, truncated } = machine.list(TOKENS_NAMESPACE, { prefix, limit });
  const fitting = entries.slice(0, countOfOneAnswer(entries));
  return { tokens: fitting.flatMap(summary), truncated: truncated || fitting.length < entries.length };
}

function summary({ key, value, createRevision }: Entry): TokenSummary[] {
  const record = decodeTokenRecord(value);
  return record === null ? [] : [{ id: tokenIdOf(key), ...record, createRevision }];
}

function invalid(text: string): StoreFailure {
  return failure('INVALID_REQUEST', text);
}
