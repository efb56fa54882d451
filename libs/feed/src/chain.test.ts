import { revision } from '@quorate/kv';
import { expect, test } from 'vitest';
import { chainStep } from './chain.js';

const state = { epoch: 3, last: revision(10) };
const link = (epoch: number, previous: number, last: number) => ({
  epoch,
  previous: revision(previous),
  revision: revision(last),
});

test.each([
  ['[F5] newer epoch', link(4, 10, 11), 'resync'],
  ['[F5] newer epoch with smaller revisions', link(4, 0, 1), 'resync'],
  ['[F6] earlier epoch', link(2, 10, 11), 'outdated'],
  ['[F7] the last again', link(3, 9, 10), 'duplicate'],
  ['[F7] long ago', link(3, 1, 2), 'duplicate'],
  ['[F8] the next', link(3, 10, 11), 'apply'],
  ['[F8] overlapping', link(3, 4, 11), 'apply'],
  ['[F8] with a hole of strict writes', link(3, 10, 40), 'apply'],
  ['[F9] one missing', link(3, 11, 12), 'gap'],
] as const)('%s', (_name, message, step) => {
  expect(chainStep(state, message)).toBe(step);
});
