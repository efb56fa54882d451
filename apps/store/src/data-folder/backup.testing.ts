import { writeFileSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { BackupFileWriter } from '@quorate/api';
import type { BackupHeader } from '@quorate/api';
import { StateMachine, encodeCommand } from '@quorate/kv';
import type { Operation } from '@quorate/kv';

/** A state with a namespace and `entryCount` entries, applied up to index and revision `entryCount` + 1. */
export function stateOf(entryCount: number): StateMachine {
  const machine = new StateMachine();
  const apply = (operation: Operation): void => {
    machine.apply(
      machine.appliedIndex + 1,
      encodeCommand({
        timeMs: 0,
        registration: null,
        idempotency: null,
        ifTokensRevision: null,
        body: { type: 'operation', operation },
      }),
    );
  };
  apply({ type: 'createNamespace', namespace: 'content', kind: 'cached' });
  for (let number = 0; number < entryCount; number += 1) {
    const value = new TextEncoder().encode(JSON.stringify(`value ${number}`));
    const key = `key-${number}`;
    const condition = { type: 'none' } as const;
    apply({ type: 'put', namespace: 'content', key, value, condition, ifNamespaceRevision: null });
  }
  return machine;
}

/** Writes a backup file of a state, as a gateway would. `changes`: what its header says otherwise. */
export function writeBackup(
  file: string,
  machine: Pick<StateMachine, 'snapshot' | 'appliedIndex' | 'head'>,
  clusterId: string,
  changes: Partial<BackupHeader> = {},
): void {
  const chunks = [...machine.snapshot()];
  const header: BackupHeader = {
    clusterId,
    epoch: 1,
    index: machine.appliedIndex,
    term: 3,
    revision: machine.head,
    chunkCount: chunks.length,
    digest: chunks.reduce((sum, chunk) => crc32(chunk, sum), 0),
    takenAt: '2026-01-02T03:04:05.678Z',
    ...changes,
  };
  const writer = new BackupFileWriter(header);
  writeFileSync(
    file,
    Buffer.concat([writer.start(), ...chunks.map((chunk) => writer.chunk(chunk)), writer.finish()]),
  );
}
