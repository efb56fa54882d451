import { describe, expect, it } from 'vitest';
import { POLICY_DEPTH_MAX, POLICY_NESTING_MAX, POLICY_TOKENS_MAX } from './limits.js';
import { policyShape } from './policy-shape.js';

const when = (body: string): string => `permit (principal, action, resource) when { ${body} };`;
const fault = (body: string): string | null => policyShape(when(body)).fault;
const list = (length: number, part: string): string => Array.from({ length }, () => part).join(', ');

describe('the shape of a policy', () => {
  it.each([
    [
      'a condition as people write it',
      'resource has owner && resource.owner == principal && !context.frozen',
    ],
    ['a wide set', `[${list(400, 'User::"x"')}].contains(principal)`],
    ['a record', `{${list(200, 'a: 1')}} == {}`],
    ['many conditions in a row', Array.from({ length: 40 }, () => 'context.a.b == 1').join(' && ')],
    ['many alternatives', Array.from({ length: 40 }, () => 'principal in Group::"a"').join(' || ')],
    ['brackets within a string', `context.a == "${'('.repeat(500)}\\"${'['.repeat(500)}"`],
    ['operators within a comment', `true // ${'&& ('.repeat(500)}"\n`],
    ['a comment that ends with a carriage return', `true // ( "\r && true`],
  ])('takes %s', (_, body) => {
    expect(fault(body)).toBeNull();
  });

  it.each([
    [
      'parentheses',
      `${'('.repeat(POLICY_NESTING_MAX)}true${')'.repeat(POLICY_NESTING_MAX)}`,
      'nested more than',
    ],
    ['open parentheses', '('.repeat(30_000), 'nested more than'],
    ['sets', `${'['.repeat(200)}${']'.repeat(200)} == []`, 'nested more than'],
    ['additions', `1 == ${'1+'.repeat(POLICY_DEPTH_MAX)}1`, 'deep'],
    ['attributes', `context${'.a'.repeat(POLICY_DEPTH_MAX)} == 1`, 'deep'],
    ['attributes called like operators', `context${'.then.if.in'.repeat(POLICY_DEPTH_MAX)} == 1`, 'deep'],
    ['indexes', `context${'["a"]'.repeat(POLICY_DEPTH_MAX)} == 1`, 'deep'],
    ['calls', `context${'.contains(1)'.repeat(POLICY_DEPTH_MAX)}`, 'deep'],
    ['conjunctions', `${'true && '.repeat(4000)}true`, 'deep'],
    ['negations', `${'!'.repeat(POLICY_DEPTH_MAX)}true`, 'deep'],
    ['if', `${'if true && true then 1 else '.repeat(POLICY_DEPTH_MAX)}1`, 'deep'],
    ['conditions', `true } ${'when { true }'.repeat(POLICY_DEPTH_MAX)} when { true`, 'deep'],
    ['chains within brackets', `${'1+1+1+1+('.repeat(12)}1${')'.repeat(12)} == 1`, 'deep'],
    ['chains after brackets', `${'('.repeat(12)}1${'+1+1+1+1)'.repeat(12)} == 1`, 'deep'],
    [
      'a chain after a comment that ends with a carriage return',
      `true // "\r && ${'1+'.repeat(500)}1`,
      'deep',
    ],
    ['tokens', `[${list(POLICY_TOKENS_MAX, '1')}] == []`, 'words and signs'],
    ['an open string', 'context.a == "', 'no part of a policy'],
    ['a letter outside of a string', 'context.ü', 'no part of a policy'],
    ['a bracket that closes another', '(true]', 'closes none'],
  ])('refuses too many %s', (_, body, words) => {
    expect(fault(body)).toContain(words);
  });

  it('refuses a bracket that stays open', () => {
    expect(policyShape('permit (principal').fault).toBe('a bracket is not closed');
  });
});
