import { describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/base/limits.ts';
import { filesIn } from './sourceTree.ts';

describe('limits', () => {
  it('are each kept by something', () => {
    const code = filesIn(['src'])
      .filter(({ path }) => path !== 'src/base/limits.ts')
      .map((file) => file.code)
      .join('\n');
    const used = new Set(code.match(/(?<=\bLIMITS\.)\w+/g));
    expect(Object.keys(LIMITS).filter((name) => !used.has(name))).toEqual([]);
  });
});
