import { describe, expect, it } from 'vitest';
import { HoldfastError } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { parseTransaction } from '../../src/cli/kv/transactionDocument.ts';
import { compare, del, get, put, range } from '../../src/client/index.ts';

const parse = (document: unknown) => parseTransaction(Buffer.from(JSON.stringify(document)));

function refusalOf(bytes: Buffer): { code: string; field: string | undefined } {
  try {
    parseTransaction(bytes);
  } catch (thrown) {
    if (thrown instanceof HoldfastError) return { code: thrown.code, field: thrown.field };
  }
  throw new Error('was not refused');
}

describe('a transaction document', () => {
  it('says what the client library says', () => {
    const document = {
      compares: [
        { key: 'a', target: 'version', relation: 'greater', number: 2 },
        { key: 'a', target: 'value', valueBase64: 'AP8=' },
        { keyBase64: '/w==', target: 'modRevision', relation: 'notEqual', number: 0 },
      ],
      success: [
        { put: { key: 'a', value: 'b', previous: true } },
        { delete: { key: 'c' } },
        { delete: { start: 'd', end: 'e' } },
      ],
      failure: [{ get: { key: 'a' } }, { range: { prefix: 'p/', limit: 3, keysOnly: true } }],
    };
    expect(parse(document)).toEqual({
      compares: [
        compare.version('a').greaterThan(2),
        compare.value('a').equals(Buffer.from([0, 255])),
        compare.modRevision(Buffer.from([255])).notEquals(0),
      ],
      success: [put('a', 'b', { previous: true }), del('c'), del({ start: 'd', end: 'e' })],
      failure: [get('a'), range({ prefix: 'p/' }, { limit: 3, keysOnly: true })],
    });
    expect(parse({})).toEqual({ compares: [], success: [], failure: [] });
  });

  const ok = { put: { key: 'a', value: 'b' } };
  const most = LIMITS.transactionOperationsMax;
  it('takes as many operations as there may be', () => {
    expect(parse({ success: Array.from({ length: most }, () => ok) }).success).toHaveLength(most);
  });

  it.each<[string, unknown, string]>([
    ['document', [], 'USAGE'],
    ['document', { succes: [] }, 'USAGE'],
    ['success', { success: ok }, 'USAGE'],
    ['success', { success: Array.from({ length: most + 1 }, () => ok) }, 'TOO_LARGE'],
    ['success[1]', { success: [ok, {}] }, 'USAGE'],
    ['success[0]', { success: [{ ...ok, get: { key: 'a' } }] }, 'USAGE'],
    ['success[0]', { success: [{ toString: {} }] }, 'USAGE'],
    ['success[0].put', { success: [{ put: { key: 'a', vlaue: 'b' } }] }, 'USAGE'],
    ['success[0].put.value', { success: [{ put: { key: 'a' } }] }, 'USAGE'],
    ['success[0].put.value', { success: [{ put: { key: 'a', value: 7 } }] }, 'USAGE'],
    ['success[0].put.value', { success: [{ put: { key: 'a', value: '\ud800' } }] }, 'USAGE'],
    ['success[0].put.value', { success: [{ put: { key: 'a', value: 'b', valueBase64: '' } }] }, 'USAGE'],
    ['success[0].put.valueBase64', { success: [{ put: { key: 'a', valueBase64: '*' } }] }, 'USAGE'],
    ['success[0].put.key', { success: [{ put: { key: '', value: 'b' } }] }, 'USAGE'],
    ['success[0].put.key', { success: [{ put: { key: 'k'.repeat(1025), value: '' } }] }, 'TOO_LARGE'],
    ['success[0].put.previous', { success: [{ put: { key: 'a', value: '', previous: 1 } }] }, 'USAGE'],
    ['failure[0].delete', { failure: [{ delete: {} }] }, 'USAGE'],
    ['failure[0].delete', { failure: [{ delete: { key: 'a', prefix: 'b' } }] }, 'USAGE'],
    ['failure[0].delete.end', { failure: [{ delete: { prefix: 'a', end: 'b' } }] }, 'USAGE'],
    ['failure[0].range.limit', { failure: [{ range: { prefix: '', limit: -1 } }] }, 'USAGE'],
    ['compares[0].target', { compares: [{ key: 'a', target: 'verison', number: 1 }] }, 'USAGE'],
    [
      'compares[0].relation',
      { compares: [{ key: 'a', target: 'version', relation: '=', number: 1 }] },
      'USAGE',
    ],
    ['compares[0].number', { compares: [{ key: 'a', target: 'version' }] }, 'USAGE'],
    ['compares[0].number', { compares: [{ key: 'a', target: 'version', number: 0.5 }] }, 'USAGE'],
    ['compares[0].number', { compares: [{ key: 'a', target: 'value', value: '', number: 1 }] }, 'USAGE'],
    ['compares[0].value', { compares: [{ key: 'a', target: 'version', number: 1, value: '' }] }, 'USAGE'],
  ])('is refused at %s: %j', (field, document, code) => {
    expect(refusalOf(Buffer.from(JSON.stringify(document)))).toEqual({ code, field });
  });

  it('is refused when it is not UTF-8', () => {
    expect(refusalOf(Buffer.from([0x22, 0xff, 0x22]))).toEqual({ code: 'USAGE', field: 'document' });
  });

  it('is refused with a value over the limit', () => {
    const value = 'v'.repeat(LIMITS.valueBytesMax + 1);
    const document = Buffer.from(JSON.stringify({ success: [{ put: { key: 'a', value } }] }));
    expect(refusalOf(document)).toEqual({ code: 'TOO_LARGE', field: 'success[0].put.value' });
  });
});
