import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { text as readStream } from 'node:stream/consumers';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { parseEntityName } from './access-commands.js';
import { statusLines } from './cluster-commands.js';
import { reportOf } from './command-error.js';
import { rawValue } from './entry-commands.js';
import { buildProgram } from './program.js';

interface Seen {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

/** Stands in for a gateway: remembers what it was sent and answers what the test says. */
let server: Server;
let url: string;
let tokenFile: string;
let seen: Seen[] = [];
let answer: { status: number; body: string } | 'hang up' = { status: 200, body: '{}' };
let printed: string[] = [];
let exitCode = 0;

async function respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const body = await readStream(request);
  seen.push({ method: request.method ?? '', path: request.url ?? '', headers: request.headers, body });
  if (answer === 'hang up') {
    request.socket.destroy();
    return;
  }
  const staleness = 'ms=5, lag=0, revision=9, quorum=?1';
  response.writeHead(answer.status, { 'content-type': 'application/json', staleness });
  response.end(answer.body);
}

beforeAll(async () => {
  server = createServer((request, response) => void respond(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  url = `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
  tokenFile = join(await mkdtemp(join(tmpdir(), 'quorate-cli-')), 'admin.token');
  await writeFile(tokenFile, 'secret\n');
});
afterAll(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await rm(join(tokenFile, '..'), { recursive: true, force: true });
});
beforeEach(() => {
  seen = [];
  printed = [];
  exitCode = 0;
});
afterEach(() => {
  answer = { status: 200, body: '{}' };
});

async function run(...parameters: string[]): Promise<void> {
  const program = buildProgram({
    print: (line) => printed.push(line),
    setExitCode: (code) => {
      exitCode = code;
    },
    stopSignal: () => AbortSignal.abort(),
  });
  await program.parseAsync([...parameters, '--url', url, '--token-file', tokenFile], { from: 'user' });
}

/** Runs a command that fails, and returns its report. */
async function failing(...parameters: string[]) {
  try {
    await run(...parameters);
  } catch (error) {
    return reportOf(error);
  }
  throw new Error('it did not fail');
}

const envelope =
  '{"namespace":"content","key":"a/b","value":{ "n": 1.0 },"revision":7,"version":2,"createRevision":5}';
const problem = (code: string, status: number, effect: string) => ({
  status,
  body: JSON.stringify({
    type: 'x',
    title: 't',
    status,
    detail: 'What happened.',
    code,
    effect,
    whatToDo: 'Do this.',
  }),
});

describe('get', () => {
  it('prints the value byte for byte, and sends the token and the level', async () => {
    answer = { status: 200, body: envelope };
    await run('get', 'content', 'a/b', '--consistency', 'bounded;ms=500');
    expect(printed).toEqual(['{ "n": 1.0 }']);
    expect(seen[0]).toMatchObject({ method: 'GET', path: '/v1/namespaces/content/entries/a%2Fb' });
    expect(seen[0]?.headers).toMatchObject({
      authorization: 'Bearer secret',
      'read-consistency': 'bounded;ms=500',
    });
  });

  it('tells with -v how old the answer can be', async () => {
    answer = { status: 200, body: envelope };
    await run('get', 'content', 'a/b', '-v');
    expect(printed.slice(1)).toEqual([
      'revision 7, version 2',
      'Staleness: ms=5, lag=0, revision=9, quorum=?1',
    ]);
  });

  it('is not misled by a value that looks like the rest of an envelope', () => {
    const value = '{"x":",\\"revision\\":1,\\"version\\":1,\\"createRevision\\":1}"}';
    const text = `{"namespace":"n","key":"k","value":${value},"revision":7,"version":2,"createRevision":5}`;
    expect(rawValue(text, 'n', 'k')).toBe(value);
  });
});

describe('put', () => {
  const written =
    '{"namespace":"content","key":"k","revision":8,"version":1,"createRevision":8,"created":true}';

  it('sends the value as it was typed, with a fresh idempotency key', async () => {
    answer = { status: 201, body: written };
    await run('put', 'content', 'k', '{"n": 1.0}');
    await run('put', 'content', 'k', '{"n": 1.0}');
    expect(printed[0]).toBe('created at revision 8, version 1');
    expect(seen[0]).toMatchObject({ method: 'PUT', body: '{"n": 1.0}' });
    const keys = seen.map(({ headers }) => headers['idempotency-key']);
    expect(new Set(keys).size).toBe(2);
  });

  it('passes conditions on', async () => {
    answer = { status: 200, body: written };
    await run('put', 'content', 'k', '1', '--if-revision', '7');
    await run('put', 'content', 'k', '1', '--create');
    expect(seen[0]?.headers['if-match']).toBe('"m7"');
    expect(seen[1]?.headers['if-none-match']).toBe('*');
  });

  it('refuses what is not JSON before anything is sent', async () => {
    expect(await failing('put', 'content', 'k', 'hello')).toMatchObject({
      exitCode: 1,
      message: `The value is not JSON. Text needs quotes of its own: '"hello"'`,
    });
    expect(seen).toEqual([]);
  });

  it('ends with 2 when the outcome is unknown, and says how to repeat it', async () => {
    answer = problem('OUTCOME_UNKNOWN', 504, 'unknown');
    const report = await failing('put', 'content', 'k', '1', '--idempotency-key', 'key-1');
    expect(report?.exitCode).toBe(2);
    expect(report?.message).toBe(
      'OUTCOME_UNKNOWN: What happened. Do this. To repeat it without doing it twice, add --idempotency-key key-1',
    );
  });

  it('ends with 2 when the gateway hangs up after it got the request', async () => {
    answer = 'hang up';
    expect(await failing('put', 'content', 'k', '1')).toMatchObject({ exitCode: 2 });
    expect(seen.length).toBe(1);
  });
});

describe('a failure', () => {
  it('without effect ends with 1 and the sentence of the problem', async () => {
    answer = problem('NO_QUORUM', 503, 'none');
    expect(await failing('delete', 'content', 'k')).toEqual(
      expect.objectContaining({ exitCode: 1, message: 'NO_QUORUM: What happened. Do this.' }),
    );
  });

  it('to read ends with 1 even when the connection broke', async () => {
    answer = 'hang up';
    expect(await failing('get', 'content', 'k')).toMatchObject({ exitCode: 1 });
  });

  it('to find the token names the file', async () => {
    const program = buildProgram({
      print: () => {},
      setExitCode: () => {},
      stopSignal: () => AbortSignal.abort(),
    });
    const parameters = ['list', 'content', '--url', url, '--token-file', '/nowhere/admin.token'];
    await expect(program.parseAsync(parameters, { from: 'user' })).rejects.toThrow(
      'no token in /nowhere/admin.token',
    );
  });

  it('that is no problem document still says something', async () => {
    answer = { status: 502, body: 'Bad gateway' };
    expect(await failing('namespace', 'list')).toMatchObject({
      message: 'The gateway answered 502: Bad gateway',
    });
  });
});

describe('access check', () => {
  const decision = (allowed: boolean, reason: string) => ({
    status: 200,
    body: JSON.stringify({ allowed, revision: 3, policies: [], reason }),
  });

  it('is 0 when allowed and 3 when denied', async () => {
    answer = decision(true, 'allowed by policy all');
    await run('access', 'check', 'Shop::User::ann', 'read', 'Document::plan');
    expect([printed, exitCode]).toEqual([['allowed by policy all (access revision 3)'], 0]);
    expect(JSON.parse(seen[0]?.body ?? '')).toEqual({
      principal: { type: 'Shop::User', id: 'ann' },
      action: 'read',
      resource: { type: 'Document', id: 'plan' },
      context: {},
    });
    answer = decision(false, 'denied: no policy permits it');
    await run('access', 'check', 'User::ann', 'read', 'Document::plan', '--context', '{"ip":"::1"}');
    expect(exitCode).toBe(3);
  });

  it.each(['User', '::ann', 'User::', ''])('refuses "%s" as an entity', (text) => {
    expect(() => parseEntityName(text)).toThrow('must be written as type::id');
  });
});

describe('namespaces and lists', () => {
  it('create, delete and list', async () => {
    answer = { status: 201, body: '{"name":"content","kind":"cached","revision":1,"createRevision":1}' };
    await run('namespace', 'create', 'content', '--kind', 'cached');
    expect(seen[0]).toMatchObject({
      method: 'PUT',
      path: '/v1/namespaces/content',
      body: '{"kind":"cached"}',
    });
    answer = { status: 200, body: '{"name":"content","revision":2}' };
    await run('namespace', 'delete', 'content');
    answer = { status: 200, body: `{"entries":[${envelope}],"truncated":true,"revision":9}` };
    await run('list', 'content', '--prefix', 'a/', '--limit', '1');
    expect(seen[2]?.path).toBe('/v1/namespaces/content/entries?prefix=a%2F&limit=1');
    expect(printed).toEqual([
      'namespace content is cached, revision 1',
      'deleted namespace content; its name keeps its kind',
      'a/b\t{"n":1}',
      '(there are more than 1; use --limit or --prefix)',
    ]);
  });
});

describe('tokens and readers', () => {
  const shown = {
    id: '0123456789ab',
    name: 'the site',
    principal: 'ada',
    scopes: ['entries:read@content'],
    expiresAt: '2027-01-31T00:00:00.000Z',
    createRevision: 7,
  };

  it('a token is made, and stands alone in its line', async () => {
    answer = { status: 201, body: JSON.stringify({ token: 'quorate_x', ...shown }) };
    await run(
      ...['access', 'token', 'create', 'the site', '--principal', 'ada', '--expires', '2027-01-31'],
      ...['--scopes', 'entries:read@content', 'entries:write'],
    );
    expect(seen[0]).toMatchObject({ method: 'POST', path: '/v1/access/tokens' });
    expect(JSON.parse(seen[0]?.body ?? '')).toEqual({
      name: 'the site',
      principal: 'ada',
      scopes: ['entries:read@content', 'entries:write'],
      expiresAt: '2027-01-31T00:00:00.000Z',
    });
    expect(printed[0]).toBe('quorate_x');
    expect(
      await failing(
        'access',
        'token',
        'create',
        'x',
        '--principal',
        'a',
        '--scopes',
        '*',
        '--expires',
        '7 days',
      ),
    ).toMatchObject({ message: expect.stringContaining('--expires') });
  });

  it('tokens are listed and revoked', async () => {
    answer = { status: 200, body: JSON.stringify({ tokens: [shown], truncated: true, revision: 9 }) };
    await run('access', 'token', 'list', '--prefix', '01', '--limit', '1');
    expect(seen[0]?.path).toBe('/v1/access/tokens?prefix=01&limit=1');
    answer = { status: 200, body: '{"id":"0123456789ab","revision":10}' };
    await run('access', 'token', 'revoke', '0123456789ab');
    expect(seen[1]).toMatchObject({ method: 'DELETE', path: '/v1/access/tokens/0123456789ab' });
    expect(printed).toEqual([
      '0123456789ab\tada\tthe site\tentries:read@content\t2027-01-31T00:00:00.000Z',
      '(there are more than 1; use --limit or --prefix)',
      'token 0123456789ab is revoked, from revision 10 on',
    ]);
  });

  it('readers are set and lifted, and nothing is taken for granted', async () => {
    const namespace = { name: 'content', kind: 'cached', revision: 8, createRevision: 1 };
    answer = { status: 200, body: JSON.stringify(namespace) };
    await run('namespace', 'readers', 'content', 'ada', 'bob');
    await run('namespace', 'readers', 'content', '--nobody');
    await run('namespace', 'readers', 'content', '--anyone');
    expect(seen.map(({ path, body }) => [path, body])).toEqual([
      ['/v1/namespaces/content/readers', '{"readers":["ada","bob"]}'],
      ['/v1/namespaces/content/readers', '{"readers":[]}'],
      ['/v1/namespaces/content/readers', '{"readers":null}'],
    ]);
    for (const wrong of [[], ['ada', '--anyone'], ['--anyone', '--nobody']])
      expect(await failing('namespace', 'readers', 'content', ...wrong)).toMatchObject({ exitCode: 1 });
    const namespaces = [
      { ...namespace, readers: ['ada'] },
      { ...namespace, name: 'open', readers: null },
    ];
    answer = { status: 200, body: JSON.stringify({ namespaces, revision: 9 }) };
    printed = [];
    await run('namespace', 'list');
    expect(printed).toEqual(['content\tcached\treaders: ada', 'open\tcached']);
  });
});

describe('cluster status', () => {
  it('is a table in which an unreachable member stands out', async () => {
    const status = {
      id: 1,
      clusterId: '0123456789abcdef',
      epoch: 1,
      role: 'leader',
      term: 4,
      leader: 1,
      quorum: true,
      commitIndex: 10,
      appliedIndex: 10,
      lastIndex: 11,
      revision: 8,
      stateHash: '00112233445566778899aabbccddeeff',
      entries: 3,
      firstIndex: 6,
      snapshotIndex: 5,
      logBytes: 4096,
      diskStalled: false,
      diverged: false,
      recovering: false,
      peers: [],
    };
    const cluster = {
      clusterId: '0123456789abcdef',
      epoch: 1,
      quorum: true,
      leader: 1,
      members: [
        { id: 1, reachable: true, status },
        { id: 2, reachable: false, status: null },
        {
          id: 3,
          reachable: true,
          status: {
            ...status,
            ...{ id: 3, role: 'follower', quorum: false, snapshotIndex: 0, firstIndex: 1 },
            ...{ diskStalled: true, diverged: true, recovering: true },
          },
        },
      ],
      cache: { state: 'live', epoch: 1, revision: 8, stalenessMs: 12.3, quorum: true },
    };
    answer = { status: 200, body: JSON.stringify(cluster) };
    await run('cluster', 'status');
    expect(printed).toEqual([
      'cluster 0123456789abcdef, epoch 1: has a quorum, leader 1',
      'cache of this gateway: live, revision 8, at most 13 ms old',
      'member  role         term  quorum  log   commit  applied  snapshot  log bytes  revision  hash',
      '1       leader       4     yes     6-11  10      10       5         4096       8         00112233',
      '2       unreachable  -     -       -     -       -        -         -          -         -',
      '3       follower     4     NO      1-11  10      10       none      4096       8         00112233',
      'ALARM member 2: does not answer this gateway',
      'ALARM member 3: it lost its log and fetches everything from the others; it takes no part until then',
      'ALARM member 3: its disk does not finish writes; it does not lead',
      "ALARM member 3: its state differs from the majority's at the same log index; it stopped serving",
    ]);
    expect(statusLines({ ...cluster, quorum: false, leader: null } as never)[0]).toContain(
      'NO QUORUM, leader unknown',
    );
  });
});

describe('consistency', () => {
  const point = (withinMs: number, share: number) => ({ withinMs, share });
  const results = { ok: 99, stale: 1, wrong: 0, absent: 2, refused: 3 };
  const none = { ok: 0, stale: 0, wrong: 0, absent: 0, refused: 0 };
  const zeros = { eventual: 0, bounded: 0, session: 0, linearizable: 0 };
  const report = {
    cache: { state: 'live', epoch: 1, revision: 1234, lag: 3, stalenessMs: 83.2, quorum: true },
    visibility: {
      sinceAcknowledged: {
        count: 1000,
        p50Ms: 0.84,
        p99Ms: 12.4,
        p999Ms: 20,
        maxMs: 41.7,
        points: [point(0, 0.25), point(1, 0.6), point(50, 1), point(100, 1)],
      },
      sinceSent: {
        count: 1000,
        p50Ms: 3.31,
        p99Ms: 15,
        p999Ms: 22,
        maxMs: 44,
        points: [point(0, 0), point(1, 0.5), point(50, 0.99999), point(100, 1)],
      },
      waiting: 2,
      waitingOldestMs: 7.25,
      dropped: 0,
    },
    audit: {
      sampleEvery: 10,
      samplesUnderWay: 4,
      skipped: 0,
      windows: [
        { afterMs: 1000, results, nines: 2 },
        { afterMs: 5000, results: none, nines: null },
      ],
    },
    reads: {
      cache: { ...zeros, eventual: 5000, linearizable: 70 },
      store: { ...zeros, linearizable: 8 },
      refused: zeros,
    },
    stalenessServed: { count: 5000, p50Ms: 260, p99Ms: 510, p999Ms: 530, maxMs: 61_000, unknown: 1 },
    counters: { hits: 4990, misses: 10, fallbacks: 1, gaps: 2, resyncs: { start: 1, epoch: 0 } },
  };

  it('prints numbers, and how soon writes are visible as a plot', async () => {
    answer = { status: 200, body: JSON.stringify(report) };
    await run('consistency');
    expect(seen[0]).toMatchObject({ method: 'GET', path: '/v1/consistency' });
    expect(printed).toEqual([
      'cache of this gateway: live, revision 1234, 3 behind, at most 84 ms old, sees a quorum',
      '',
      'own writes until they are visible here, 1000 measured',
      '                    p50     p99    p99.9  max',
      'since acknowledged  0.8 ms  12 ms  20 ms  42 ms',
      'since sent          3.3 ms  15 ms  22 ms  44 ms',
      'not visible yet: 2, the oldest for 7.3 ms',
      '',
      'within  since acknowledged  since sent',
      '0 ms    25.00 %             0.00 %',
      '1 ms    60.00 %             50.00 %     ####################',
      '50 ms   100.00 %            99.99 %     #######################################',
      '100 ms  100.00 %            100.00 %    ########################################',
      '',
      'audit of one in 10 of them: 4 under way, 0 skipped',
      'after  ok  stale  wrong  absent  refused  nines',
      '1 s    99  1      0      2       3        2',
      '5 s    0   0      0      0       0        -',
      '',
      'reads         cache  store  refused',
      'eventual      5000   0      0',
      'bounded       0      0      0',
      'session       0      0      0',
      'linearizable  70     8      0',
      'bounds stated below linearizable: p50 260 ms, p99 510 ms, max 61000 ms, unknown 1 times',
      '',
      'hits 4990, misses 10, fallbacks 1, gaps 2, resyncs: start 1, epoch 0',
    ]);
  });

  it('says what is not known, and what has to be looked at', async () => {
    const nothing = { count: 0, p50Ms: null, p99Ms: null, p999Ms: null, maxMs: null, points: [] };
    const body = {
      ...report,
      cache: { state: 'syncing', epoch: null, revision: null, lag: null, stalenessMs: null, quorum: false },
      visibility: {
        ...report.visibility,
        sinceAcknowledged: nothing,
        sinceSent: nothing,
        waiting: 0,
        waitingOldestMs: null,
      },
      audit: {
        ...report.audit,
        windows: [{ afterMs: 1000, results: { ...results, wrong: 2 }, nines: 1.5 }],
      },
    };
    answer = { status: 200, body: JSON.stringify(body) };
    await run('consistency');
    expect(printed.slice(0, 4)).toEqual([
      'cache of this gateway: syncing, revision none, of unknown age, sees NO QUORUM',
      '',
      'own writes: none was measured yet',
      '',
    ]);
    expect(printed).toContain('ALARM 2 times the cache showed less than it claimed to have: report it');
  });
});

describe('cluster commands', () => {
  it('transfer names a member or leaves the choice to the leader', async () => {
    answer = { status: 200, body: '{"leader":2,"moved":true}' };
    await run('cluster', 'transfer', '--to', '2');
    answer = { status: 200, body: '{"leader":2,"moved":false}' };
    await run('cluster', 'transfer');
    expect(seen).toMatchObject([
      { method: 'POST', path: '/v1/cluster/transfer', body: '{"to":2}' },
      { method: 'POST', path: '/v1/cluster/transfer', body: '{}' },
    ]);
    expect(printed).toEqual(['member 2 leads now', 'member 2 led already: nothing changed']);
    expect(await failing('cluster', 'transfer', '--to', 'two')).toMatchObject({ exitCode: 1 });
  });

  it('snapshot tells what was taken', async () => {
    answer = { status: 200, body: '{"index":9,"revision":7,"payloadBytes":1234,"taken":true}' };
    await run('cluster', 'snapshot');
    answer = { status: 200, body: '{"index":9,"revision":7,"payloadBytes":1234,"taken":false}' };
    await run('cluster', 'snapshot');
    expect(printed).toEqual([
      'snapshot taken at log index 9, revision 7, 1234 bytes',
      'the newest snapshot is of this state already: at log index 9, revision 7, 1234 bytes',
    ]);
  });

  it('that break off have harmed no data: 1, not 2', async () => {
    answer = 'hang up';
    expect(await failing('cluster', 'transfer')).toMatchObject({ exitCode: 1 });
  });
});

describe('options', () => {
  it.each([
    [['dev', '--members', '4'], '--members must be'],
    [['dev', '--port', '0'], '--port must be'],
    [['dev', '--base-port', '65500'], '--base-port must be a port from 1 to 65464'],
    [['dev', '--nats', 'maybe'], '--nats must be auto, off or install'],
    [
      ['init', '--hosts', 'a,b,c', '--members', '5', '--dir', '/nowhere/x'],
      '--hosts names 3 hosts, but --members is 5',
    ],
    [['init', '--hosts', 'a,b,c', '--data', '4=/d', '--dir', '/nowhere/x'], '--data names member 4'],
    [['member', 'start', '1', '--dir', '/nowhere/x'], 'There is no cluster in /nowhere/x'],
  ])('%j is refused in a sentence', async (parameters, sentence) => {
    const program = buildProgram({
      print: () => {},
      setExitCode: () => {},
      stopSignal: () => AbortSignal.abort(),
    });
    await expect(program.parseAsync(parameters, { from: 'user' })).rejects.toThrow(sentence);
  });
});
