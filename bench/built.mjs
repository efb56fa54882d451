// Preloaded into the load generator, before the loader of ../test: packages of ours come from their build, as in the servers that it speaks
// to, and not from their sources.
import { register } from 'node:module';
import { isMainThread } from 'node:worker_threads';

// The thread of the hooks loads this file once more.
if (isMainThread) register(import.meta.url);

/** @type {import('node:module').ResolveHook} */
export function resolve(specifier, context, next) {
  const conditions = context.conditions.filter((condition) => condition !== 'source');
  return next(specifier, { ...context, conditions });
}
