import assert from 'node:assert/strict';
import { POLICY_DEPTH_MAX, POLICY_NESTING_MAX, POLICY_TOKENS_MAX } from './limits.js';

// The tokens of Cedar's grammar. Comments and strings end exactly where they end for Cedar, or code could hide in them;
// what is no token here (an open string, a letter beyond ASCII) is refused instead of guessed at.
const TOKEN =
  /\s+|\/\/[^\n\r]*|"[^"\\]*(?:\\.[^"\\]*)*"|[A-Za-z_][A-Za-z0-9_]*|[0-9]+|::|[=!<>]=|&&|\|\||[@.,;:?()[\]{}<>=!+\-*/%]/y;
const OPERATOR = /^(?:::|[=!<>]=|[.<>=!+\-*/%]|in|has|like|is)$/;
const LOGICAL = /^(?:&&|\|\|)$/;
const CLOSING: Readonly<Record<string, string>> = { '(': ')', '[': ']', '{': '}' };

/** What the tokens of a text tell; a text with a fault must not reach Cedar. */
export interface PolicyShape {
  readonly fault: string | null;
  readonly tokens: number;
}

/** What stands between a pair of brackets; the outermost group is the whole text. */
interface Group {
  readonly closing: string | null;
  /** Of the finished elements, which commas separate: an element beside another does not make it deeper. */
  deepest: number;
  /** `&&`, `||` and `if` of this element: each may hold all that follows it, so they add up. */
  logicals: number;
  /** Of the finished operands of those. */
  deepestTerm: number;
  /** Operators and brackets of this operand: `a.b.c` and `1 + 1 + 1` are as deep as they are long. */
  operators: number;
  /** Of the brackets in this operand. */
  deepestWithin: number;
}

/**
 * Whether a policy is too deep or too long for Cedar, which recurses without a bound. In WebAssembly that ends in a
 * trap, with code that is not yet optimized at 90 brackets or 120 operators in a row. So before Cedar sees a text, an
 * upper bound of the depth of its expressions is counted from its tokens alone, without recursion, in linear time.
 */
export function policyShape(text: string): PolicyShape {
  const groups: Group[] = [newGroup(null)];
  let tokens = 0;
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < text.length) {
    const at = TOKEN.lastIndex;
    const [token] = TOKEN.exec(text) ?? [];
    if (token === undefined)
      return { fault: `what stands at character ${at} is no part of a policy`, tokens };
    if (token.startsWith('//') || token.trim() === '') continue;
    tokens += 1;
    const fault = tokens > POLICY_TOKENS_MAX ? TOO_LONG : take(groups, token, at);
    if (fault !== null) return { fault, tokens };
  }
  return { fault: groups.length > 1 ? 'a bracket is not closed' : null, tokens };
}

const TOO_LONG = `it has more than ${POLICY_TOKENS_MAX} words and signs`;
const TOO_NESTED = `its brackets are nested more than ${POLICY_NESTING_MAX} deep`;
const TOO_DEEP = `its expressions are more than ${POLICY_DEPTH_MAX} operators and brackets deep`;

/** Counts one token in; what is wrong with it, or null. */
function take(groups: Group[], token: string, at: number): string | null {
  const group = groups.at(-1);
  assert(group !== undefined, 'the outermost group has no closing bracket');
  const closing = CLOSING[token];
  if (closing !== undefined) {
    group.operators += 1;
    groups.push(newGroup(closing));
  } else if (token === ')' || token === ']' || token === '}') {
    if (group.closing !== token) return `the bracket at character ${at} closes none`;
    groups.pop();
    const outer = groups.at(-1);
    if (outer !== undefined) outer.deepestWithin = Math.max(outer.deepestWithin, depthOf(group));
  } else if (token === ',') {
    group.deepest = depthOf(group);
    group.logicals = 0;
    group.deepestTerm = 0;
    endTerm(group);
  } else if (LOGICAL.test(token)) {
    group.deepestTerm = Math.max(group.deepestTerm, group.operators + group.deepestWithin);
    group.logicals += 1;
    endTerm(group);
  } else if (token === 'if') group.logicals += 1;
  else if (OPERATOR.test(token)) group.operators += 1;
  if (groups.length - 1 > POLICY_NESTING_MAX) return TOO_NESTED;
  const innermost = groups.at(-1) ?? group;
  return Math.max(depthOf(innermost), depthOf(group)) > POLICY_DEPTH_MAX ? TOO_DEEP : null;
}

function newGroup(closing: string | null): Group {
  return { closing, deepest: 0, logicals: 0, deepestTerm: 0, operators: 0, deepestWithin: 0 };
}

function endTerm(group: Group): void {
  group.operators = 0;
  group.deepestWithin = 0;
}

function depthOf({ deepest, logicals, deepestTerm, operators, deepestWithin }: Group): number {
  return Math.max(deepest, logicals + Math.max(deepestTerm, operators + deepestWithin));
}
