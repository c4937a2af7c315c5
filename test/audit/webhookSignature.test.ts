import { createHmac } from 'node:crypto';
import { expect, it } from 'vitest';
import { webhookSignature } from '../../src/audit/webhookSignature.ts';

const KEY = Buffer.from('0123456789abcdef');

it('signs the time together with the body', () => {
  const body = Buffer.from('{"a":"ü"}\n');
  const [, code = ''] = /^t=1700000000,v1=([0-9a-f]{64})$/.exec(
    webhookSignature({ key: KEY, timeMs: 1_700_000_000_999, body }),
  ) as RegExpExecArray;
  const expected = createHmac('sha256', KEY).update('1700000000.{"a":"ü"}\n').digest('hex');
  expect(code).toBe(expected);
});

it('differs with the key, the second and the body', () => {
  const body = Buffer.from('a');
  const signatures = [
    webhookSignature({ key: KEY, timeMs: 0, body }),
    webhookSignature({ key: Buffer.from('0123456789abcdeg'), timeMs: 0, body }),
    webhookSignature({ key: KEY, timeMs: 1_000, body }),
    webhookSignature({ key: KEY, timeMs: 0, body: Buffer.from('b') }),
  ];
  expect(new Set(signatures).size).toBe(4);
});
