import { beforeEach, expect, it } from 'vitest';
import { HoldfastError } from '../../src/base/errors.ts';
import { readAudit } from '../../src/store/auditReading.ts';
import { encodeAuditRow } from '../../src/store/auditRow.ts';
import { rowKey } from '../../src/store/row.ts';
import { refusalOf } from '../node/refusal.ts';

type Source = ReturnType<Parameters<typeof readAudit>[0]>;

/** A state with one row of records, whose database does as told. */
function sourceOf(rows: () => readonly never[]): Source {
  const place = { number: 1, timeMs: 0, previousHash: Buffer.alloc(32), digest: '' };
  const snapshot = {
    async *rows() {
      yield rows();
    },
    close: () => Promise.resolve(),
  };
  return {
    state: { audit: { rows: { length: 1, at: () => place, positionOf: () => 0, positionFrom: () => 0 } } },
    database: { snapshot: () => snapshot },
    sealer: {},
  } as unknown as Source;
}

const closed = (): never => {
  throw new HoldfastError('DISK_FAILED', 'the database is closed');
};
let current: Source;
let reads: number;
beforeEach(() => {
  reads = 0;
});

async function read(): Promise<number> {
  let portions = 0;
  for await (const _portion of readAudit(() => current, { sequence: 1, timeMs: 0 })) portions += 1;
  return portions;
}

it('goes on in the state that has taken the place of the one that it read from', async () => {
  const next = sourceOf(() => {
    reads += 1;
    return [];
  });
  current = sourceOf(() => {
    current = next;
    return closed();
  });
  expect([await read(), reads]).toEqual([0, 1]);
});

it('fails where the state is still the same', async () => {
  current = sourceOf(closed);
  expect(await refusalOf(read)).toMatchObject({ code: 'DISK_FAILED' });
});

it('opens a row when it is come to: who has enough of the first pays for no other', async () => {
  const opened: number[] = [];
  const row = (number: number) => ({
    key: rowKey({ table: 'l', number, sub: 0 }),
    envelope: Buffer.alloc(0),
  });
  const text = { principalKind: '', principal: '', session: '', address: '', node: '', action: 'kv.put' };
  const rest = { result: 'OK', requestId: '', detail: '', revision: 0, count: 1 };
  const record = { ...text, ...rest, resource: Buffer.alloc(0), resourceEnd: Buffer.alloc(0) };
  const sealer = {
    openOrCorrupt: ({ number }: { readonly number: number }) => {
      opened.push(number);
      const records = [record, record];
      return encodeAuditRow({ index: number, timeMs: 1, previousHash: Buffer.alloc(32), records });
    },
  };
  current = { ...sourceOf(() => [row(1), row(3)] as never[]), sealer } as unknown as Source;
  for await (const records of readAudit(() => current, { sequence: 2, timeMs: 0 })) {
    expect(records.map(({ sequence }) => sequence)).toEqual([2]);
    break;
  }
  expect(opened).toEqual([1]);
});
