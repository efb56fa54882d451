import { MUTATIONS } from '../mutations/catalogue.js';

/** What stands in a source file, and what stands there instead. */
export interface SeededBug {
  /** Path from the root of the repository. */
  readonly file: string;
  /** Occurs exactly once in the file. */
  readonly find: string;
  readonly replace: string;
}

/** A build with one bug in it, and who has to notice. */
export interface BrokenBuild {
  readonly id: string;
  /** What is wrong, in a few words. */
  readonly bug: string;
  readonly change: SeededBug;
  /** Words for `npm run chaos`, without the seed: what suits the bug. */
  readonly words: readonly string[];
  /** Promises whose violation convicts it. A member that crashes, or a cluster that is not well in the end, does not. */
  readonly promises: readonly string[];
}

const CACHED_VIEW = 'libs/cache/src/cached-view.ts';
const LINEARIZABLE = ['linearizability', 'linearizability by key'];
/** The workloads need 20 s to make enough requests, also where nothing is broken meanwhile. */
const CALM = ['--calm', '--minutes', '0.35'];

/** A bug that `npm run mutations` has as well: its text stands there. */
function mutation(id: string): SeededBug {
  const found = MUTATIONS.find((one) => one.id === id);
  if (found === undefined) throw new Error(`there is no mutation ${id}`);
  const { file, find, replace } = found;
  return { file, find, replace };
}

/** In the order of the table of docs/chaos.md. */
export const BROKEN_BUILDS: readonly BrokenBuild[] = [
  {
    id: 'B1',
    bug: 'reads are answered without ReadIndex (M22)',
    change: mutation('M22'),
    words: ['--scenario', 'flapping-leader'],
    promises: [...LINEARIZABLE, 'order', 'revoked right', 'new policies'],
  },
  {
    id: 'B2',
    bug: 'all members acknowledge before anything is synced',
    change: {
      file: 'libs/wal/src/node-disk.ts',
      find: '    fdatasync(this.descriptor, (error) => {',
      replace:
        '    ((_: number, done: (error: Error | null) => void) => setImmediate(done, null))(this.descriptor, (error) => {',
    },
    words: ['--scenario', 'power-cut-all'],
    promises: ['exactly once', ...LINEARIZABLE],
  },
  {
    id: 'B3',
    bug: 'a vote is not made durable (M6)',
    change: mutation('M6'),
    words: ['--scenario', 'votes-and-power'],
    promises: ['no invariant breaks', 'exactly once', 'order', ...LINEARIZABLE],
  },
  {
    id: 'B4',
    bug: 'the answer under an Idempotency-Key is not kept (M49)',
    change: mutation('M49'),
    words: ['--scenario', 'pause-gateway', '--workloads', 'set,content'],
    promises: ['exactly once'],
  },
  {
    id: 'B5',
    bug: 'a cache overlooks a gap in its feed (M54)',
    change: mutation('M54'),
    words: ['--scenario', 'feed-flapping', '--workloads', 'content'],
    promises: ['one revision', 'staleness bound', 'read your writes', 'own writes', 'convergence'],
  },
  {
    id: 'B6',
    bug: 'the staleness bound is counted from the last message of the feed',
    change: {
      file: CACHED_VIEW,
      find: '    if (batch !== null && link.previous <= this.#watermark) {\n      this.#apply(batch);\n',
      replace:
        '    if (batch !== null && link.previous <= this.#watermark) {\n      this.#apply(batch);\n      if (this.#confirmed !== null)\n        this.#confirmed = { probeId: this.#confirmed.probeId, sent: this.#elapsed.mark(this.#now) };\n',
    },
    words: ['--scenario', 'feed-late', '--workloads', 'content'],
    promises: ['staleness bound'],
  },
  {
    id: 'B7',
    bug: 'a cache does not judge its readers',
    change: {
      file: CACHED_VIEW,
      find: '    if (token === null) return true;\n    const refusal = this.#judge(token, namespace);',
      replace:
        '    if (token !== undefined) return true;\n    const refusal = this.#judge(token, namespace);',
    },
    words: [...CALM, '--workloads', 'readers'],
    promises: ['revoked reader'],
  },
  {
    id: 'B8',
    bug: 'what a deposed leader had proposed is called surely not done (M25)',
    change: mutation('M25'),
    words: ['--scenario', 'flapping-leader'],
    promises: ['exactly once', ...LINEARIZABLE],
  },
  {
    id: 'B9',
    bug: 'a condition is not compared (M52)',
    change: mutation('M52'),
    words: [...CALM, '--workloads', 'counter,compare-and-set,list'],
    promises: ['exactly once', 'order', ...LINEARIZABLE],
  },
  {
    id: 'B10',
    bug: 'a session reads below its token (M64)',
    change: mutation('M64'),
    words: ['--scenario', 'feed-late', '--workloads', 'content'],
    promises: ['read your writes'],
  },
];
