import type { Chronicle } from '../chronicle.js';
import { describeList, describeOperation, type ListRecord } from '../history.js';
import { Acknowledgements, type Story } from './story.js';

/** An answer that names the state that it is from. */
interface Snapshot {
  readonly head: number;
  readonly invokedMs: number;
  readonly describe: () => string;
}

/**
 * A strict read shows one state, and that state is no older than the question. What an entry, a list, or "there
 * is no such namespace" says is what the store had at the head that comes with it; and that head has all that was
 * acknowledged, or committed at all, before it was asked for. So a stale list is a stale read, and so is a
 * stale "does not exist".
 */
export function checkSnapshotReads({ world, history, chronicle }: Story): void {
  const acknowledged = new Acknowledgements(history.operations);
  const notOlder = ({ head, invokedMs, describe }: Snapshot): void => {
    const needed = Math.max(acknowledged.newestBefore(invokedMs), chronicle.headBefore(invokedMs));
    if (head >= needed) return;
    world.violation(
      'a strict read is never stale',
      `${describe()}: revision ${needed} came before the question`,
    );
  };
  const isTrue = (holds: boolean, { describe }: Snapshot): void => {
    if (!holds) world.violation('a strict read shows one state', describe());
  };
  for (const operation of history.operations) {
    const { kind, namespace, key, invokedMs, seen, namespaceSeen } = operation;
    const describe = (): string => describeOperation(operation);
    if (kind === 'get' && seen !== null) {
      const snapshot = { head: seen.head, invokedMs, describe };
      notOlder(snapshot);
      const entry = chronicle.entry(namespace, key, seen.head);
      const isSame =
        entry?.revision === (seen.entryRevision ?? undefined) && (entry?.value ?? null) === seen.value;
      isTrue(isSame && chronicle.exists(namespace, seen.head), snapshot);
    }
    if (namespaceSeen !== null) {
      const snapshot = { head: namespaceSeen.head, invokedMs, describe };
      notOlder(snapshot);
      isTrue(chronicle.exists(namespace, namespaceSeen.head) === namespaceSeen.exists, snapshot);
    }
  }
  for (const list of history.lists) {
    const { told, namespace, invokedMs } = list;
    if (told === null || told.head === null) continue;
    const snapshot = { head: told.head, invokedMs, describe: () => describeList(list) };
    notOlder(snapshot);
    const isListed = told.type === 'listed';
    isTrue(chronicle.exists(namespace, told.head) === isListed, snapshot);
    if (isListed) isTrue(isWhole(chronicle, list, told), snapshot);
  }
}

/** Every entry that the list should have, in order, and no other. */
function isWhole(
  chronicle: Chronicle,
  { namespace, prefix, limit }: ListRecord,
  { entries, truncated, head }: Extract<ListRecord['told'], { readonly type: 'listed' }>,
): boolean {
  const there = chronicle
    .entriesAt(namespace, head)
    .filter(({ key }) => key.startsWith(prefix))
    .sort((one, other) => (one.key < other.key ? -1 : 1));
  const expected = there.slice(0, limit);
  return (
    truncated === there.length > limit &&
    entries.length === expected.length &&
    expected.every(({ key, value, revision }, at) => {
      const entry = entries[at];
      return entry?.key === key && entry.value === value && entry.revision === revision;
    })
  );
}
