/** The longest policy text, in bytes of UTF-8. */
export const POLICY_BYTES_MAX = 64 * 1024;
/** All policies together, in bytes of UTF-8: a member parses them in one turn. */
export const POLICIES_BYTES_MAX = 1024 * 1024;
/** Words, numbers, strings and signs of one policy. */
export const POLICY_TOKENS_MAX = 2000;
/** The same of all policies together: each costs Cedar up to 12 microseconds when a member reads it anew. */
export const POLICIES_TOKENS_MAX = 32_768;
/** Brackets of one policy within each other. Cedar has trapped at 90. */
export const POLICY_NESTING_MAX = 24;
/** Operators and brackets that hold each other or follow each other in one expression. Cedar has trapped at 120. */
export const POLICY_DEPTH_MAX = 48;
/**
 * Cedar has no index: it evaluates every policy for every decision, 1 to 2 microseconds each. And a member parses them
 * all in one turn when one has changed, about 0.2 milliseconds each: Raft's ticks of 100 ms must still come through.
 */
export const POLICIES_MAX = 256;
/** Entities that one decision may rest on; each costs about 5 microseconds on the way into Cedar. */
export const SLICE_ENTITIES_MAX = 256;
/** References that are followed for one decision, whether or not there is such an entity. */
export const SLICE_REFERENCES_MAX = 2048;
/** UTF-16 code units of the type of an entity, and of its id. Stored keys are shorter still. */
export const ENTITY_TYPE_LENGTH_MAX = 256;
export const ENTITY_ID_LENGTH_MAX = 1024;
/** UTF-16 code units of a message or a reason: an answer has to fit into a frame, whatever Cedar quotes in it. */
export const MESSAGE_LENGTH_MAX = 1024;
export const JSON_DEPTH_MAX = 32;
export const JSON_NODES_MAX = 4096;
/** Decisions that an engine remembers for the present access revision. */
export const REMEMBERED_DECISIONS_MAX = 1024;
