import type { Workload } from './workload.js';
import { access } from './workloads/access.js';
import { compareAndSet } from './workloads/compare-and-set.js';
import { content } from './workloads/content.js';
import { counter } from './workloads/counter.js';
import { list } from './workloads/list.js';
import { readers } from './workloads/readers.js';
import { register } from './workloads/register.js';
import { set } from './workloads/set.js';

/** Each makes a workload with a memory of its own: one per run. */
const MAKERS: readonly ((run: string) => Workload)[] = [
  register,
  compareAndSet,
  counter,
  set,
  list,
  access,
  content,
  readers,
];

/**
 * All workloads, or those of these names, in the order above. Throws when a name is of none. `run`: ends the names of namespaces and policies,
 * `[a-z0-9]+`: a cluster that had an earlier run holds what this one did not write.
 */
export function makeWorkloads(names?: readonly string[], run: string = Date.now().toString(36)): Workload[] {
  const workloads = MAKERS.map((make) => make(run));
  const unknown = names?.find((name) => workloads.every((workload) => workload.name !== name));
  if (unknown !== undefined)
    throw new Error(`there is no workload ${unknown}: ${workloads.map(({ name }) => name).join(', ')}`);
  return names === undefined ? workloads : workloads.filter(({ name }) => names.includes(name));
}
