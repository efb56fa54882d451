// What the test loaders do to a source text before it runs. Product code knows nothing of it.

/**
 * @typedef {import('./instrument.d.mts').SourceMutation} Mutation
 */

/** A comment of its own line: `// mark: <what is rare about this path>`. */
const MARK = /^([ \t]*)\/\/ mark: (.+)$/gm;

/**
 * Turns each mark into a call that counts it. Marks stand where a rare path begins; a mark that no seed of CI reaches
 * fails the run, so a path cannot quietly stop being tested.
 *
 * @param {string} source
 * @returns {string}
 */
export function countMarks(source) {
  return source.replaceAll(
    MARK,
    (_, indent, name) => `${indent}globalThis.quorateMark?.(${JSON.stringify(name.trim())});`,
  );
}

/**
 * @param {string} source
 * @returns {string[]} The names of all marks of a source text.
 */
export function marksOf(source) {
  return [...source.matchAll(MARK)].map((match) => match[2].trim());
}

/**
 * @param {string} source
 * @param {Mutation} mutation
 * @returns {string} The source with the bug in it. Throws when the text is not there exactly once: the code has moved on, and
 * the table of seeded bugs must follow it.
 */
export function mutate(source, mutation) {
  const places = source.split(mutation.find).length - 1;
  if (places !== 1) {
    throw new Error(
      `${mutation.file}: the text to replace occurs ${places} times, not once:\n${mutation.find}`,
    );
  }
  if (mutation.replace === mutation.find) throw new Error(`${mutation.file}: the mutation changes nothing`);
  return source.replace(mutation.find, () => mutation.replace);
}
