import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { type AuditRecord, auditRowCodec } from '../../src/proto/audit.ts';
import { decodeAuditRow, encodeAuditRow } from '../../src/store/auditRow.ts';

const word = fc.constantFrom('', 'a', 'b');
const number = fc.constantFrom(0, 1, 2 ** 53 - 1);
const bytes = fc.constantFrom('', 'x', 'y').map((text) => Buffer.from(text));
const record: fc.Arbitrary<AuditRecord> = fc.record({
  principalKind: word,
  principal: word,
  session: word,
  address: word,
  node: word,
  action: word,
  resource: bytes,
  resourceEnd: bytes,
  result: word,
  requestId: word,
  revision: number,
  count: number,
  detail: word,
});
const PLACE = { index: 7, timeMs: 8, previousHash: Buffer.alloc(32, 1) };

it('gives back the records that it was made of, whatever they have in common', () => {
  const records = fc.array(record, { minLength: 1, maxLength: 4 });
  // Once with records that differ at random, and once with those of one asker.
  const alike = fc
    .tuple(record, records)
    .map(([asker, others]) =>
      others.map(({ resource, resourceEnd }) => ({ ...asker, resource, resourceEnd })),
    );
  fc.assert(
    fc.property(fc.oneof(records, alike), (given) => {
      expect(decodeAuditRow(encodeAuditRow({ ...PLACE, records: given }))).toEqual({
        ...PLACE,
        records: given,
      });
    }),
    { numRuns: 2_000 },
  );
});

it('says once what all records say', () => {
  const read = { ...empty(), principal: 'somebody', action: 'kv.reveal', result: 'OK', count: 1 };
  const records = ['one', 'two', 'three'].map((name) => ({ ...read, resource: Buffer.from(name) }));
  const row = auditRowCodec.decode(encodeAuditRow({ ...PLACE, records }));
  expect({ ...row.common }).toEqual({ principal: 'somebody', action: 'kv.reveal', result: 'OK', count: 1 });
  expect(row.records.map((written) => Object.keys(written))).toEqual([
    ['resource'],
    ['resource'],
    ['resource'],
  ]);
});

function empty(): AuditRecord {
  const nothing = Buffer.alloc(0);
  const texts = { principalKind: '', principal: '', session: '', address: '', node: '', action: '' };
  const rest = { resource: nothing, resourceEnd: nothing, result: '', requestId: '', detail: '' };
  return { ...texts, ...rest, revision: 0, count: 0 };
}
