import type { CheckRequest } from '@quorate/api';

/** The access rules that checks are measured with: four policies, 100 users in 10 teams, 100 documents in 10 areas. */

const [USERS, DOCUMENTS, GROUPS] = [100, 100, 10];

export const POLICIES: Readonly<Record<string, string>> = {
  'staff-read': `permit (principal in Group::"staff", action == Action::"read", resource in Area::"site");`,
  'owners-edit': `permit (principal is User, action in [Action::"read", Action::"edit"], resource is Document)
when { resource has owner && resource.owner == principal };`,
  'frozen-areas': `forbid (principal, action == Action::"edit", resource)
when { resource has area && resource.area.frozen };`,
  'suspended-users': `forbid (principal is User, action, resource) when { principal.suspended };`,
};

export interface AccessEntity {
  readonly type: string;
  readonly id: string;
  readonly attrs: Readonly<Record<string, unknown>>;
  readonly parents: readonly { readonly type: string; readonly id: string }[];
}

/** Parents come before those who name them. */
export function accessEntities(): AccessEntity[] {
  const teams = range(GROUPS).map((number) => entity('Group', `team-${number}`, {}, ['Group', 'staff']));
  const areas = range(GROUPS).map((number) =>
    entity('Area', `area-${number}`, { frozen: number === 0 }, ['Area', 'site']),
  );
  const users = range(USERS).map((number) =>
    entity('User', `user-${number}`, { suspended: false }, ['Group', `team-${number % GROUPS}`]),
  );
  const documents = range(DOCUMENTS).map((number) => {
    const area = { type: 'Area', id: `area-${number % GROUPS}` };
    const attrs = {
      owner: { __entity: { type: 'User', id: `user-${number}` } },
      area: { __entity: area },
    };
    return entity('Document', `document-${number}`, attrs, [area.type, area.id]);
  });
  const roots = [entity('Group', 'staff', {}), entity('Area', 'site', { frozen: false })];
  return [...roots, ...teams, ...areas, ...users, ...documents];
}

/** One of 1,000 questions, all of which are allowed. */
export function checkOf(number: number): CheckRequest {
  return {
    principal: { type: 'User', id: `user-${number % USERS}` },
    action: 'read',
    resource: { type: 'Document', id: `document-${Math.floor(number / GROUPS) % DOCUMENTS}` },
    context: {},
  };
}

function entity(
  type: string,
  id: string,
  attrs: AccessEntity['attrs'],
  parent?: readonly [string, string],
): AccessEntity {
  return { type, id, attrs, parents: parent === undefined ? [] : [{ type: parent[0], id: parent[1] }] };
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, number) => number);
}
