/** Every right there is. Each route and each NATS subject declares exactly one. */
export const NEEDS = [
  'entries:read',
  'entries:write',
  'namespaces:read',
  'namespaces:write',
  'access:check',
  'access:read',
  'access:write',
  'cluster:read',
  'cluster:admin',
] as const;

/** A right that a request needs. */
export type Need = (typeof NEEDS)[number];
