/** The longest policy text, in bytes of UTF-8. */
export const POLICY_BYTES_MAX = 64 * 1024;
/**
 * Cedar has no index: it evaluates every policy for every decision, 1 to 2 microseconds each. And a member parses them
 * all in one turn when one has changed, about 0.2 milliseconds each: Raft's ticks of 100 ms must still come through.
 */
export const POLICIES_MAX = 256;
/** Entities that one decision may rest on; each costs about 5 microseconds on the way into Cedar. */
export const SLICE_ENTITIES_MAX = 256;
/** References that are followed for one decision, whether or not there is such an entity. */
export const SLICE_REFERENCES_MAX = 2048;
export const JSON_DEPTH_MAX = 32;
export const JSON_NODES_MAX = 4096;
/** Decisions that an engine remembers for the present access revision. */
export const REMEMBERED_DECISIONS_MAX = 1024;
