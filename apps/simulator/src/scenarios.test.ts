import { describe, expect, it } from 'vitest';
import { SCENARIOS } from './scenarios.js';

describe('directed scenarios', { timeout: 120_000 }, () => {
  for (const [name, run] of Object.entries(SCENARIOS)) {
    it(`${name}`, () => {
      expect(run).not.toThrow();
    });
  }
});
