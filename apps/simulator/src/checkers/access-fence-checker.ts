import { ACCESS_NAMESPACE } from '@quorate/kv';
import type { Story } from './story.js';

/**
 * Access changes are fenced (design, Access: "the command carries `if access revision = v`"; R24, the new
 * enemy): each took effect on the very state of policies and entities that it was validated against, so
 * between a validation and its effect no other change came in.
 */
export function checkAccessFences({ world, chronicle }: Story): void {
  let before: number | null = null;
  for (const { type, revision, key, ifNamespaceRevision } of chronicle.writesIn(ACCESS_NAMESPACE)) {
    const isChange = type === 'put' || type === 'delete';
    if (
      isChange &&
      (ifNamespaceRevision === null || (before ?? ifNamespaceRevision) !== ifNamespaceRevision)
    ) {
      world.violation(
        'access changes are fenced',
        `${type} ${key} took effect at revision ${revision}; it was validated at access revision ${ifNamespaceRevision}, and the one before it was ${before}`,
      );
    }
    before = revision;
  }
}
