import {
  encodeTokenRecord,
  hashToken,
  type StoreFailure,
  type StoreRequest,
  type StoreResponse,
  type TokenRecord,
} from '@quorate/api';
import { StateMachine, encodeCommand, type Operation } from '@quorate/kv';
import { describe, expect, it } from 'vitest';
import { World, put, started, write } from './replica.testing.js';
import { listTokens, refuseTokenChange, withTokenKey } from './token-changes.js';

const ADA_1 = `quorate_${'ada-1'.padEnd(43, '_')}`;
const ADA_2 = `quorate_${'ada-2'.padEnd(43, '_')}`;
const ADA: TokenRecord = {
  name: 'the site',
  principal: 'ada',
  scopes: ['entries:read', 'entries:write'],
  expiresAtMs: null,
};

/** A token of the form that all have, told apart by its name. */
function tokenOf(name: string): string {
  return `quorate_${name.replaceAll(' ', '-').padEnd(43, '_')}`;
}

function creation(name: string, record: Partial<TokenRecord> = {}): Operation {
  return {
    type: 'put',
    namespace: 'tokens',
    key: hashToken(tokenOf(name)),
    value: encodeTokenRecord({ ...ADA, ...record }),
    condition: { type: 'absent' },
    ifNamespaceRevision: null,
  };
}
function revocation(name: string): Operation {
  const key = hashToken(tokenOf(name)).slice(0, 12);
  return { type: 'delete', namespace: 'tokens', key, condition: { type: 'none' }, ifNamespaceRevision: null };
}
function read(token: string, namespace = 'content'): StoreRequest {
  return { type: 'get', token, namespace, key: 'a' };
}

/** Three members, a namespace of each kind with an entry `a`, and Ada's token. */
function withAda(record: Partial<TokenRecord> = {}): { world: World; client: number } {
  const { world, client } = started();
  world.ask(1, write({ type: 'createNamespace', namespace: 'content', kind: 'cached' }, client));
  for (const namespace of ['limits', 'content']) world.ask(1, write(put('a', '1', namespace), client));
  expect(world.ask(1, write(creation('ada-1', record), client)).answer).toMatchObject({ type: 'written' });
  return { world, client };
}

/** All handed to the leader within one turn: it decides about each before any of them is applied. */
function together(world: World, requests: readonly StoreRequest[]): (string | undefined)[] {
  const answers: (StoreResponse | null)[] = requests.map(() => null);
  for (const [at, request] of requests.entries())
    world.members[0]!.handler.handle('gateway', request, 2000, (answer) => void (answers[at] = answer));
  world.settle();
  return answers.map((answer) => (answer?.type === 'failed' ? answer.code : answer?.type));
}

const codeOf = (answer: StoreResponse | null): string | undefined =>
  answer?.type === 'failed' ? answer.code : answer?.type;

describe('requests with access tokens', () => {
  it('do what their scopes name, on every member, and nothing else', () => {
    const { world, client } = withAda();
    expect(codeOf(world.ask(1, write(put('b'), client, ADA_1)).answer)).toBe('written');
    for (const member of [1, 2, 3]) expect(codeOf(world.ask(member, read(ADA_1)).answer)).toBe('entry');
    const refused: StoreRequest[] = [
      write({ type: 'createNamespace', namespace: 'more', kind: 'cached' }, client, ADA_1),
      write({ type: 'setReaders', namespace: 'content', readers: null }, client, ADA_1),
      write(creation('ada-2'), client, ADA_1),
      write(revocation('ada-1'), client, ADA_1),
      write(put('policies/p', '"permit"', 'access'), client, ADA_1),
      read(ADA_1, 'access'),
      { type: 'namespaces', token: ADA_1 },
      { type: 'namespace', token: ADA_1, namespace: 'content' },
      { type: 'tokens', token: ADA_1, prefix: '', limit: 10 },
      { type: 'caller', token: ADA_1, need: 'cluster:read' },
      { type: 'snapshot', token: ADA_1 },
      { type: 'transfer', token: ADA_1, to: 2 },
      { type: 'backup', token: ADA_1, index: null, chunk: 0 },
    ];
    for (const request of refused)
      expect(codeOf(world.ask(1, request).answer), request.type).toBe('FORBIDDEN');
    expect(world.ask(2, { type: 'caller', token: ADA_1, need: 'entries:read' }).answer).toMatchObject({
      type: 'caller',
      principal: 'ada',
    });
    for (const token of ['', 'wrong', ADA_2, 'a'.repeat(2000)]) {
      expect(codeOf(world.ask(1, read(token)).answer)).toBe('UNAUTHENTICATED');
      expect(codeOf(world.ask(1, write(put('b'), client, token)).answer)).toBe('UNAUTHENTICATED');
      expect(codeOf(world.ask(1, { type: 'snapshot', token }).answer)).toBe('UNAUTHENTICATED');
    }
    expect(codeOf(world.ask(2, write(put('b'), client, ADA_1)).answer)).toBe('NOT_LEADER');
    expect(codeOf(world.ask(2, write(put('b'), client, ADA_2)).answer)).toBe('NOT_LEADER');
  });

  it('a token for the administration may administer, on a member that leads and on one that does not', () => {
    const { world } = withAda({ scopes: ['cluster:admin'] });
    expect(codeOf(world.ask(2, { type: 'snapshot', token: ADA_1 }).answer)).toBe('snapshotTaken');
    expect(codeOf(world.ask(1, { type: 'backup', token: ADA_1, index: null, chunk: 0 }).answer)).toBe(
      'backupChunk',
    );
  });

  it('are refused once the revocation is acknowledged, by every member', () => {
    const { world, client } = withAda();
    expect(codeOf(world.ask(1, write(revocation('ada-1'), client)).answer)).toBe('written');
    for (const member of [1, 2, 3]) {
      expect(codeOf(world.ask(member, read(ADA_1)).answer)).toBe('UNAUTHENTICATED');
    }
    expect(codeOf(world.ask(1, write(put('b'), client, ADA_1)).answer)).toBe('UNAUTHENTICATED');
    expect(world.members[0]!.replica.machine.get('limits', 'b')).toBeUndefined();
  });

  it('a write that is ordered behind a revocation is not done, though it was authorised before that was applied', () => {
    const { world, client } = withAda();
    const [revoked, written] = together(world, [
      write(revocation('ada-1'), client),
      write(put('b'), client, ADA_1),
    ]);
    expect([revoked, written]).toEqual(['written', 'UNAUTHENTICATED']);
    expect(world.members[0]!.replica.machine.get('limits', 'b')).toBeUndefined();
  });

  it('a change of another token costs a write another proposal, under the same number', () => {
    const { world, client } = withAda();
    const created = write(creation('bob', { principal: 'bob' }), client);
    const request = write(put('b'), client, ADA_1, 'key-1');
    expect(together(world, [created, request])).toEqual(['written', 'written']);
    const first = world.ask(1, request).answer;
    expect(first).toMatchObject({ type: 'written', version: 1 });
    expect(world.members[0]!.replica.machine.get('limits', 'b')?.version).toBe(1);
  });

  it('is given up after some proposals, and surely not done', () => {
    const { world, client } = withAda();
    const leader = world.members[0]!;
    const propose = leader.replica.propose.bind(leader.replica);
    let proposals = 0;
    // Each time the leader is about to propose, another token has been made just before.
    leader.replica.propose = (command, deadlineMs, callback) => {
      proposals += 1;
      const operation = creation(`t${proposals}`, { principal: 'bob' });
      const other = { registration: null, idempotency: null, ifTokensRevision: null } as const;
      propose({ ...other, body: { type: 'operation', operation } }, 2000, () => undefined);
      propose(command, deadlineMs, callback);
    };
    expect(world.ask(1, write(put('b'), client, ADA_1)).answer).toMatchObject({
      code: 'AUTHORIZATION_CHANGED',
    });
    expect(proposals).toBe(8);
    expect(leader.replica.machine.get('limits', 'b')).toBeUndefined();
  });

  it('readers bind whoever is not the admin, in cached namespaces', () => {
    const { world, client } = withAda({ scopes: ['*'] });
    const list: StoreRequest = { type: 'list', token: ADA_1, namespace: 'content', prefix: '', limit: 5 };
    const set = (readers: string[] | null): StoreRequest =>
      write({ type: 'setReaders', namespace: 'content', readers }, client);
    expect(codeOf(world.ask(1, set(['bob'])).answer)).toBe('written');
    for (const member of [1, 2, 3]) expect(codeOf(world.ask(member, read(ADA_1)).answer)).toBe('FORBIDDEN');
    expect(codeOf(world.ask(1, list).answer)).toBe('FORBIDDEN');
    expect(codeOf(world.ask(1, read('right')).answer)).toBe('entry');
    expect(codeOf(world.ask(1, read(ADA_1, 'limits')).answer)).toBe('entry');
    expect(codeOf(world.ask(1, write(put('a', '2', 'content'), client, ADA_1)).answer)).toBe('written');
    world.ask(1, set(['bob', 'ada']));
    expect(codeOf(world.ask(2, read(ADA_1)).answer)).toBe('entry');
    world.ask(1, set([]));
    world.ask(1, set(null));
    expect(codeOf(world.ask(1, list).answer)).toBe('entries');
    expect(
      codeOf(world.ask(1, write({ type: 'setReaders', namespace: 'limits', readers: [] }, client)).answer),
    ).toBe('NAMESPACE_NOT_CACHED');
  });

  it('a token expires by the clock of the member, and no earlier than by the newest time of the log', () => {
    const { world, client } = withAda({ expiresAtMs: 10_000 });
    expect(codeOf(world.ask(1, read(ADA_1)).answer)).toBe('entry');
    world.pass(10_000);
    expect(codeOf(world.ask(1, write(put('b'), client)).answer)).toBe('written');
    const expired = { code: 'UNAUTHENTICATED', message: 'The bearer token has expired.' };
    expect(world.ask(1, read(ADA_1)).answer).toMatchObject(expired);
    expect(world.ask(1, write(put('b'), client, ADA_1)).answer).toMatchObject(expired);
    // A member whose clock went back knows from the log how late it is.
    const now = world.nowMs;
    world.nowMs = 5_000;
    expect(world.ask(1, read(ADA_1)).answer).toMatchObject(expired);
    world.nowMs = now;
  });
});

describe('changes of tokens', () => {
  it('are made and revoked by whoever may write access; what is shown of them is no hash', () => {
    const { world, client } = withAda({ scopes: ['access:write', 'access:read'] });
    const bob = write(creation('bob-1', { principal: 'bob', expiresAtMs: 9 }), client, ADA_1);
    expect(codeOf(world.ask(1, bob).answer)).toBe('written');
    const listed = world.ask(3, { type: 'tokens', token: ADA_1, prefix: '', limit: 10 }).answer;
    if (listed?.type !== 'tokens') throw new Error(`not listed: ${JSON.stringify(listed)}`);
    const id = hashToken(tokenOf('bob-1')).slice(0, 12);
    expect(listed.tokens).toHaveLength(2);
    expect(listed.tokens).toContainEqual(
      expect.objectContaining({ id, name: 'the site', principal: 'bob', expiresAtMs: 9 }),
    );
    for (const token of [ADA_1, tokenOf('bob-1')])
      expect(JSON.stringify(listed)).not.toContain(hashToken(token));
    const revoke = write(revocation('bob-1'), client, ADA_1);
    const first = world.ask(1, revoke).answer;
    expect(codeOf(first)).toBe('written');
    // Sent again: its answer, although there is no such token any more.
    expect(world.ask(1, revoke).answer).toEqual(first);
    expect(codeOf(world.ask(1, write(revocation('bob-1'), client, ADA_1)).answer)).toBe('ENTRY_NOT_FOUND');
  });

  it('entries of tokens are read by nobody, as a namespace that is reserved', () => {
    const { world } = withAda({ scopes: ['*'] });
    for (const token of ['right', ADA_1]) {
      const key = hashToken(ADA_1);
      const requests: StoreRequest[] = [
        { type: 'get', token, namespace: 'tokens', key },
        { type: 'list', token, namespace: 'tokens', prefix: '', limit: 10 },
      ];
      for (const request of requests) expect(codeOf(world.ask(1, request).answer)).toBe('NAMESPACE_RESERVED');
    }
  });

  it('two at once are both done: each is validated against all before it', () => {
    const { world, client } = withAda();
    const requests = ['x', 'y', 'z'].map((token) => write(creation(token), client));
    expect(together(world, requests)).toEqual(['written', 'written', 'written']);
    const same = [write(creation('same'), client), write(creation('same'), client)];
    expect(together(world, same)).toEqual(['written', 'PRECONDITION_FAILED']);
  });

  it('what is no token, or changes one, is refused', () => {
    const { world, client } = withAda();
    const good = creation('new');
    if (good.type !== 'put') throw new Error('a put');
    const bad: Operation[] = [
      { ...good, key: 'new' },
      { ...good, key: good.key.toUpperCase() },
      { ...good, value: new Uint8Array() },
      { ...good, value: encodeTokenRecord({ ...ADA, principal: 'admin' }) },
      { ...good, condition: { type: 'none' } },
      { ...good, key: good.key.slice(0, 13) },
      { ...creation('ada-1'), type: 'delete', condition: { type: 'present' } } as Operation,
      {
        type: 'delete',
        namespace: 'tokens',
        key: 'ab',
        condition: { type: 'none' },
        ifNamespaceRevision: null,
      },
      { type: 'deleteNamespace', namespace: 'tokens' },
      { type: 'setReaders', namespace: 'tokens', readers: [] },
      { type: 'setReaders', namespace: 'access', readers: [] },
    ];
    for (const operation of bad) {
      const failed = world.ask(1, write(operation, client)).answer as StoreFailure;
      expect(['INVALID_REQUEST', 'INVALID_ENTITY'], JSON.stringify(operation)).toContain(failed.code);
    }
    expect(world.members[0]!.replica.machine.entryCountOf('tokens')).toBe(1);
  });

  it('there are at most 10,000, and no two with one id', () => {
    const machine = new StateMachine();
    const apply = (operation: Operation): void =>
      void machine.apply(
        machine.appliedIndex + 1,
        encodeCommand({
          timeMs: 0,
          registration: null,
          idempotency: null,
          ifTokensRevision: null,
          body: { type: 'operation', operation },
        }),
      );
    apply(creation('t0'));
    const first = creation('t0');
    if (first.type !== 'put') throw new Error('a put');
    const twin = { ...first, key: `${first.key.slice(0, 12)}${'0'.repeat(52)}` };
    expect(refuseTokenChange(machine, twin)).toMatchObject({ code: 'INVALID_REQUEST' });
    expect(refuseTokenChange(machine, first)).toBeNull();
    for (let at = 1; at < 9_999; at += 1) apply(creation(`t${at}`));
    expect(refuseTokenChange(machine, creation('one more'))).toBeNull();
    apply(creation('t9999'));
    expect(machine.entryCountOf('tokens')).toBe(10_000);
    expect(refuseTokenChange(machine, creation('one more'))).toMatchObject({ code: 'TOO_MANY_TOKENS' });
    // What was sent before, and is done already, has its answer in the state machine.
    expect(refuseTokenChange(machine, creation('t5'))).toBeNull();
    expect(withTokenKey(machine, revocation('t5'))).toMatchObject({ key: hashToken(tokenOf('t5')) });
    expect(withTokenKey(machine, revocation('never'))).toEqual(revocation('never'));
    expect(listTokens(machine, '', 1000)).toMatchObject({ truncated: true });
    expect(listTokens(machine, hashToken(tokenOf('t5')).slice(0, 13), 10).tokens).toEqual([]);
    expect(listTokens(machine, hashToken(tokenOf('t5')).slice(0, 12), 10).tokens).toHaveLength(1);
  });
});
