// Module hooks (node:module `register`) that run the TypeScript sources as they are, with marks counted and, if asked
// for, one seeded bug in them. Node 20 cannot read TypeScript by itself.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { countMarks, mutate } from './instrument.mjs';

const ROOT = new URL('../../', import.meta.url);
/** Compiled texts by the hash of the source: the compiler is the slow part of a start. */
const CACHE = new URL('node_modules/.cache/sources/', ROOT);

/** @type {import('./instrument.d.mts').SourceMutation | null} */
let mutation = null;

export function initialize(data) {
  mutation = data.mutation;
  mkdirSync(CACHE, { recursive: true });
}

export async function resolve(specifier, context, next) {
  // Relative imports name the file that the compiler would write.
  const isSource =
    context.parentURL?.endsWith('.ts') && specifier.startsWith('.') && specifier.endsWith('.js');
  return next(isSource ? specifier.replace(/\.js$/, '.ts') : specifier, {
    ...context,
    conditions: ['source', ...context.conditions],
  });
}

export async function load(url, context, next) {
  if (!url.startsWith('file:') || !url.endsWith('.ts') || url.includes('/node_modules/'))
    return next(url, context);
  let source = readFileSync(new URL(url), 'utf8');
  if (mutation !== null && url === new URL(mutation.file, ROOT).href) source = mutate(source, mutation);
  return { format: 'module', source: await compiled(url, countMarks(source)), shortCircuit: true };
}

async function compiled(url, source) {
  const key = createHash('sha256').update(`${process.version}\n${url}\n${source}`).digest('hex');
  const file = new URL(`${key}.js`, CACHE);
  if (existsSync(file)) return readFileSync(file, 'utf8');
  const { default: ts } = await import('typescript');
  const { outputText } = ts.transpileModule(source, {
    fileName: fileURLToPath(url),
    compilerOptions: {
      target: ts.ScriptTarget.ES2023,
      module: ts.ModuleKind.ESNext,
      inlineSourceMap: true,
    },
  });
  // Several processes may write it at once; each writes the same.
  const temporary = new URL(`${key}.${process.pid}`, CACHE);
  writeFileSync(temporary, outputText);
  renameSync(temporary, file);
  return outputText;
}
