import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toRange } from '../../src/client/keys.ts';

const bytes = fc.uint8Array({ minLength: 0, maxLength: 8 });

describe('a selection', () => {
  it.each([
    ['a', 'b'],
    ['a\xff', 'b'],
    ['\xff\xff', ''],
    ['', ''],
    ['a\xfe\xff', 'a\xff'],
  ])('by the prefix %j ends at %j', (prefix, end) => {
    const range = toRange({ prefix: Buffer.from(prefix, 'latin1') });
    expect(Buffer.from(range.end).toString('latin1')).toBe(end);
  });

  it('by a prefix holds exactly the keys that begin with it', () => {
    fc.assert(
      fc.property(bytes, bytes, (prefix, other) => {
        const { start, end } = toRange({ prefix });
        const holds = (key: Uint8Array) =>
          Buffer.compare(key, start) >= 0 && (end.length === 0 || Buffer.compare(key, end) < 0);
        const begins = Buffer.from(other.subarray(0, prefix.length)).equals(prefix);
        expect(holds(other)).toBe(begins);
        expect(holds(Buffer.concat([prefix, other]))).toBe(true);
      }),
    );
  });

  it('by a key holds that key alone', () => {
    expect(toRange({ key: 'a' })).toEqual({ start: Buffer.from('a'), end: Buffer.from('a\0') });
  });
});
