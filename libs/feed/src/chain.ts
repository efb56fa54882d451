import type { Revision } from '@quorate/kv';

/** Where a consumer stands: every published change up to `last` is applied. */
export interface ChainState {
  readonly epoch: number;
  readonly last: Revision;
}

/** What one message claims to carry: every published change in (previous, revision]. */
export interface ChainLink {
  readonly epoch: number;
  readonly previous: Revision;
  readonly revision: Revision;
}

/**
 * W8: how a message joins on to what a consumer has.
 * `apply`: it joins on. `duplicate`: nothing new. `gap`: something before it is missing, pull. `resync`: a newer epoch,
 * drop everything. `outdated`: a message of an earlier epoch that comes late, drop the message.
 */
export type ChainStep = 'apply' | 'duplicate' | 'gap' | 'resync' | 'outdated';

/** The chain rule (F5-F9). Total: any three numbers give one of the five steps. */
export function chainStep(state: ChainState, link: ChainLink): ChainStep {
  // Epochs only grow. A late message of an earlier one must not throw away the state of the newer.
  if (link.epoch > state.epoch) return 'resync';
  if (link.epoch < state.epoch) return 'outdated';
  if (link.revision <= state.last) return 'duplicate';
  return link.previous <= state.last ? 'apply' : 'gap';
}
