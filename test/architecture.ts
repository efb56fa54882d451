/** The arrows and bans of ARCHITECTURE.md as data, and the functions that judge a source text by them. */

export interface Room {
  /** Path prefix, from the root of the repository. The longest matching room judges a file. */
  readonly path: string;
  /** What its files may import besides their own room. `node:x` names a built-in, anything else a package. */
  readonly mayImport: readonly string[];
  /** Pure: no time, randomness, timers, process or asynchronous code of its own. */
  readonly pure: boolean;
}

const NEST = [
  '@nestjs/common',
  '@nestjs/config',
  '@nestjs/core',
  '@nestjs/microservices',
  '@nestjs/platform-fastify',
  '@nestjs/terminus',
  'fastify',
  'prom-client',
  'reflect-metadata',
  'rxjs',
  'zod',
];

export const ROOMS: readonly Room[] = [
  { path: 'libs/raft/src', mayImport: ['node:assert/strict'], pure: true },
  {
    path: 'libs/kv/src',
    mayImport: ['node:assert/strict', 'node:crypto', 'sorted-btree'],
    pure: true,
  },
  { path: 'libs/linearizability/src', mayImport: ['node:assert/strict'], pure: true },
  { path: 'libs/feed/src', mayImport: ['@quorate/kv', 'node:assert/strict', 'node:crypto'], pure: true },
  { path: 'libs/feed/src/nats.ts', mayImport: ['@quorate/kv', 'nats'], pure: false },
  { path: 'libs/cache/src', mayImport: ['@quorate/kv', 'lru-cache', 'node:assert/strict'], pure: true },
  {
    path: 'libs/access/src',
    mayImport: ['@quorate/kv', '@cedar-policy/cedar-wasm', 'node:assert/strict'],
    pure: true,
  },
  // Loads the WebAssembly instance, and another one when it has failed.
  {
    path: 'libs/access/src/cedar.ts',
    mayImport: ['@cedar-policy/cedar-wasm', 'node:module', 'node:v8'],
    pure: true,
  },
  { path: 'libs/api/src', mayImport: ['@quorate/kv', 'node:crypto', 'zod'], pure: false },
  {
    path: 'libs/wal/src',
    mayImport: [
      '@quorate/raft',
      'node:assert/strict',
      'node:crypto',
      'node:fs',
      'node:net',
      'node:os',
      'node:path',
      'node:timers/promises',
      'node:zlib',
    ],
    pure: false,
  },
  {
    path: 'libs/link/src',
    mayImport: [
      '@quorate/api',
      '@quorate/kv',
      '@quorate/raft',
      'node:assert/strict',
      'node:crypto',
      'node:dns',
      'node:net',
      'node:tls',
    ],
    pure: false,
  },
  { path: 'libs/link/src/codec.ts', mayImport: [], pure: true },
  {
    path: 'libs/replica/src',
    mayImport: [
      '@quorate/api',
      '@quorate/kv',
      '@quorate/raft',
      '@quorate/wal',
      'node:assert/strict',
      'node:crypto',
    ],
    pure: true,
  },
  {
    path: 'libs/client/src',
    mayImport: ['@quorate/api', '@quorate/cache', '@quorate/feed', '@quorate/kv', 'node:assert/strict'],
    pure: true,
  },
  // The promise surface and the link subpath meet the real world.
  { path: 'libs/client/src/client.ts', mayImport: ['@quorate/api', '@quorate/kv'], pure: false },
  {
    path: 'libs/client/src/near-cache.ts',
    mayImport: ['@quorate/api', '@quorate/cache', '@quorate/kv'],
    pure: false,
  },
  {
    path: 'libs/client/src/link.ts',
    mayImport: ['@quorate/api', '@quorate/kv', '@quorate/link'],
    pure: false,
  },
  {
    path: 'apps/store/src',
    mayImport: [
      '@quorate/access',
      '@quorate/api',
      '@quorate/feed',
      '@quorate/kv',
      '@quorate/link',
      '@quorate/raft',
      '@quorate/replica',
      '@quorate/wal',
      ...NEST,
      'node:*',
    ],
    pure: false,
  },
  {
    path: 'apps/gateway/src',
    mayImport: [
      '@quorate/api',
      '@quorate/client',
      '@quorate/feed/nats',
      '@quorate/kv',
      '@nats-io/transport-node',
      ...NEST,
      'node:*',
    ],
    pure: false,
  },
  {
    path: 'apps/cli/src',
    mayImport: ['@quorate/api', 'commander', 'node:*'],
    pure: false,
  },
  {
    path: 'apps/simulator/src',
    mayImport: [
      '@quorate/access',
      '@quorate/api',
      '@quorate/cache',
      '@quorate/client',
      '@quorate/feed',
      '@quorate/kv',
      '@quorate/linearizability',
      // The wire forms without the sockets: what the simulated network carries is bytes.
      '@quorate/link/codec',
      '@quorate/raft',
      '@quorate/replica',
      '@quorate/wal',
      'node:assert',
      'node:assert/strict',
      'node:crypto',
    ],
    pure: true,
  },
  // The command line around the simulated world: arguments, files and measuring.
  { path: 'apps/simulator/src/main.ts', mayImport: ['node:*'], pure: false },
];

const PURE_BANS: readonly { readonly pattern: RegExp; readonly instead: string }[] = [
  { pattern: /\bDate\b/, instead: 'time is handed in' },
  { pattern: /\bperformance\b/, instead: 'time is handed in' },
  { pattern: /\bMath\.random\b/, instead: 'randomness is handed in' },
  { pattern: /\brandom(Bytes|UUID|Int)\b/, instead: 'randomness is handed in' },
  {
    pattern: /\b(setTimeout|setInterval|setImmediate|queueMicrotask)\b/,
    instead: 'the driver has the timers',
  },
  { pattern: /\bprocess\./, instead: 'only an app knows its process' },
  { pattern: /\basync\b|\bawait\b|\bnew Promise\b/, instead: 'no transition may be interrupted (P34)' },
];

const EVERYWHERE_BANS: readonly { readonly pattern: RegExp; readonly instead: string }[] = [
  { pattern: /\bexport \*/, instead: 'name what is exported' },
  { pattern: /\bforwardRef\b/, instead: 'a cycle means a missing type below both' },
  {
    pattern: /\bas (Term|LogIndex|MemberId|Revision)\b/,
    instead: 'use term(), logIndex(), memberId(), revision()',
  },
  { pattern: /: any\b|\bas any\b|<any>/, instead: 'use unknown and check it' },
];

/** The text without comments and string contents, so that words in them are no violations. Imports are read before. */
function codeOf(text: string): string {
  return text
    .replace(/\/\*[\s\S]*?\*\//g, ' ')
    .replace(/(^|[^:'"`\\])\/\/[^\n]*/g, '$1')
    .replace(/'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"/g, "''");
}

export function importsOf(text: string): string[] {
  const pattern = /(?:\bfrom\s*|\bimport\s*\(\s*|^\s*import\s+)['"]([^'"]+)['"]/gm;
  return [...text.matchAll(pattern)].map((match) => match[1] ?? '');
}

export function roomOf(path: string): Room | undefined {
  return ROOMS.filter((room) => path === room.path || path.startsWith(`${room.path}/`)).sort(
    (a, b) => b.path.length - a.path.length,
  )[0];
}

function allowed(room: Room, specifier: string): boolean {
  if (specifier.startsWith('.')) return true;
  return room.mayImport.some(
    (name) =>
      name === specifier ||
      (name === 'node:*' && specifier.startsWith('node:')) ||
      (!name.startsWith('node:') && specifier.startsWith(`${name}/`)),
  );
}

/** All violations of one product source file, as sentences. */
export function violationsOf(path: string, text: string): string[] {
  const room = roomOf(path);
  if (room === undefined) return [`${path}: lies in no room; add it to the arrow table or move it`];
  const out: string[] = [];
  for (const specifier of importsOf(text)) {
    if (!allowed(room, specifier))
      out.push(`${path}: must not import ${specifier} (${room.path} may not point there)`);
    if (specifier.startsWith('..') && !path.startsWith('test/') && leavesRoom(path, specifier))
      out.push(`${path}: reaches into another package by a relative path: ${specifier}`);
  }
  const code = codeOf(text);
  for (const { pattern, instead } of [...EVERYWHERE_BANS, ...(room.pure ? PURE_BANS : [])]) {
    const found = pattern.exec(code);
    if (found !== null) out.push(`${path}: "${found[0].trim()}" is banned here: ${instead}`);
  }
  return out;
}

function leavesRoom(path: string, specifier: string): boolean {
  const depthInRoom = path.split('/').length - 4; // libs/<name>/src/<file> has depth 0
  const ups = specifier.split('/').filter((part) => part === '..').length;
  return ups > depthInRoom;
}
