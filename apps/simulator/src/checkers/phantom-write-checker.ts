import { askedByValue, type Story } from './story.js';

/** No phantom write: whatever is in the committed log, somebody asked for (openraft's "phantom value"). */
export function checkPhantomWrites({ world, history, chronicle }: Story): void {
  const asked = askedByValue(history.operations);
  for (const { revision, namespace, key, value } of chronicle.writes) {
    if (value === null) continue;
    const operation = asked.get(value);
    if (operation?.kind === 'put' && operation.namespace === namespace && operation.key === key) continue;
    world.violation(
      'nothing from nowhere',
      `revision ${revision} holds ${value} in ${namespace}/${key}, which nobody asked for`,
    );
  }
}
