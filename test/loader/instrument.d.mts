/** One seeded bug: a place in a source file, and what stands there instead. */
export interface SourceMutation {
  /** Path from the root of the repository. */
  readonly file: string;
  /** Occurs exactly once. */
  readonly find: string;
  readonly replace: string;
}

export function countMarks(source: string): string;
export function marksOf(source: string): string[];
export function mutate(source: string, mutation: SourceMutation): string;
