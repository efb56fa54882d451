import { revision } from '@quorate/kv';
import { ADMIN_TOKEN } from '../test-gateway.testing.js';
import { beforeEach, describe, expect, it } from 'vitest';
import { MemoryBackend } from '../memory-backend.testing.js';
import { ConsistencyAudit, type AuditResult, type AuditedWrite } from './audit.js';
import { ManualClock } from './manual-clock.testing.js';

let backend: MemoryBackend;
let clock: ManualClock;
beforeEach(() => {
  backend = new MemoryBackend();
  clock = new ManualClock();
});

function auditOf(options: { sampleEvery?: number; samplesMax?: number } = {}): ConsistencyAudit {
  return new ConsistencyAudit({ view: backend.view, clock, sampleEvery: 1, ...options });
}

async function put(key: string): Promise<AuditedWrite> {
  const { revision } = await backend.store.write(
    ADMIN_TOKEN,
    {
      type: 'put',
      namespace: 'content',
      key,
      value: Buffer.from('1'),
      condition: { type: 'none' },
      ifNamespaceRevision: null,
    },
    null,
  );
  return { namespace: 'content', key, revision, deleted: false };
}

async function remove(key: string): Promise<AuditedWrite> {
  const condition = { type: 'none' } as const;
  const operation = {
    type: 'delete',
    namespace: 'content',
    key,
    condition,
    ifNamespaceRevision: null,
  } as const;
  const { revision } = await backend.store.write(ADMIN_TOKEN, operation, null);
  return { namespace: 'content', key, revision, deleted: true };
}

/** What each window has counted, without the zeros. */
function results(audit: ConsistencyAudit): Partial<Record<AuditResult, number>>[] {
  return audit
    .report()
    .windows.map(({ results }) =>
      Object.fromEntries(Object.entries(results).filter(([, count]) => count > 0)),
    );
}

describe('the audit', () => {
  it('looks after 1, 5 and 60 seconds, and not before', async () => {
    const audit = auditOf();
    audit.acknowledged(await put('home'));
    backend.sync();
    await clock.pass(999);
    expect(results(audit)).toEqual([{}, {}, {}]);
    await clock.pass(1);
    expect(results(audit)).toEqual([{ ok: 1 }, {}, {}]);
    await clock.pass(4000);
    expect(results(audit)).toEqual([{ ok: 1 }, { ok: 1 }, {}]);
    await clock.pass(55_000);
    expect(results(audit)).toEqual([{ ok: 1 }, { ok: 1 }, { ok: 1 }]);
    expect(audit.report()).toMatchObject({ samplesUnderWay: 0, skipped: 0 });
    expect(clock.timers).toBe(0);
  });

  it('counts as stale what the view has not come to', async () => {
    const audit = auditOf();
    audit.acknowledged(await put('home'));
    await clock.pass(1000);
    backend.sync();
    await clock.pass(4000);
    expect(results(audit)).toEqual([{ stale: 1 }, { ok: 1 }, {}]);
  });

  it('takes what is newer for what was written, and a deletion for a deletion', async () => {
    const audit = auditOf();
    audit.acknowledged(await put('home'));
    audit.acknowledged(await put('home'));
    audit.acknowledged(await put('gone'));
    audit.acknowledged(await remove('gone'));
    backend.sync();
    await clock.pass(1000);
    expect(results(audit)[0]).toEqual({ ok: 3, absent: 1 });
  });

  it('finds a view that claims a revision and shows something older', async () => {
    const audit = auditOf();
    await put('home');
    backend.sync();
    const older = await backend.view.read({
      namespace: 'content',
      key: 'home',
      level: { type: 'eventual' },
      minRevision: null,
      token: null,
    });
    audit.acknowledged(await put('home'));
    backend.sync();
    backend.outcome = () => (older.type === 'hit' ? { ...older, revision: backend.head } : older);
    await clock.pass(1000);
    expect(results(audit)[0]).toEqual({ wrong: 1 });
    expect(audit.report().windows[0]?.nines).toBe(0);
  });

  it('does not call a refusal inconsistent', async () => {
    const audit = auditOf();
    audit.acknowledged(await put('home'));
    backend.sync();
    backend.outcome = () => ({ type: 'refused', code: 'OVERLOADED' });
    await clock.pass(1000);
    backend.outcome = () => ({ type: 'fallback' });
    await clock.pass(4000);
    backend.unsynced = true;
    await clock.pass(55_000);
    expect(results(audit)).toEqual([{ refused: 1 }, { refused: 1 }, { refused: 1 }]);
    expect(audit.report().windows.map(({ nines }) => nines)).toEqual([null, null, null]);
  });

  it('gives a sample up when the epoch changes', async () => {
    const audit = auditOf();
    audit.acknowledged(await put('home'));
    backend.epoch = 2;
    await clock.pass(60_000);
    expect(results(audit)).toEqual([{}, {}, {}]);
    expect(audit.report()).toMatchObject({ samplesUnderWay: 0, skipped: 1 });
  });

  it('samples one in so many, the first among them, and no more than it has room for', async () => {
    const audit = auditOf({ sampleEvery: 10, samplesMax: 3 });
    const write = { namespace: 'content', key: 'home', revision: revision(1), deleted: false };
    for (let count = 0; count < 51; count += 1) audit.acknowledged(write);
    expect(audit.report()).toMatchObject({ sampleEvery: 10, samplesUnderWay: 3, skipped: 3 });
    expect(clock.timers).toBe(3);
    audit.stop();
    expect(clock.timers).toBe(0);
    audit.acknowledged(write);
    expect(audit.report().samplesUnderWay).toBe(0);
  });

  it('never claims more nines than it has looked for', async () => {
    const audit = auditOf();
    const home = await put('home');
    for (let count = 0; count < 1000; count += 1) audit.acknowledged(home);
    backend.sync();
    await clock.pass(1000);
    expect(audit.report().windows[0]).toMatchObject({ results: { ok: 1000, stale: 0 }, nines: 3 });
    const other = auditOf();
    other.acknowledged(home);
    other.acknowledged({ ...home, revision: revision(home.revision + 100) });
    await clock.pass(1000);
    expect(other.report().windows[0]).toMatchObject({ results: { ok: 1, stale: 1 }, nines: 0.3 });
  });
});
