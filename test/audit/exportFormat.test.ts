import { describe, expect, it } from 'vitest';
import { CSV_HEAD, csvLine, exportFields, exportLine } from '../../src/audit/exportFormat.ts';
import type { ChainedRecord } from '../../src/audit/record/chain.ts';
import { batchesOf } from '../../src/audit/sink/sink.ts';
import { chainOf } from '../api/fakeAudit.ts';

const upTo = (first: number, last: number): readonly number[] =>
  Array.from({ length: last - first + 1 }, (_, at) => first + at);
/** What a terminal may take for more than text. */
const CONTROLS = [...upTo(0, 0x1f), ...upTo(0x7f, 0x9f), 0x2028, 0x2029, 0x202e, 0x2066].map((code) =>
  String.fromCharCode(code),
);
const ALL = CONTROLS.join('');
const recordOf = (fields: Partial<ChainedRecord>): ChainedRecord => chainOf(fields)[0] as ChainedRecord;
const rawIn = (line: string): readonly string[] => CONTROLS.filter((control) => line.includes(control));

describe('JSON Lines', () => {
  it('have no control character as it is, and still say the same', () => {
    const record = recordOf({
      resource: Buffer.from(`a${ALL}ü`),
      principal: ALL,
      detail: '\u001b[31m\u009b',
    });
    const line = exportLine(record);
    expect(rawIn(line)).toEqual([]);
    expect(line).toContain(String.raw`\u001b[31m\u009b`);
    expect(JSON.parse(line)).toEqual(exportFields(record));
    expect([...batchesOf([record])][0]?.lines).toEqual([line]);
  });
});

describe('CSV', () => {
  it('has every field, quoted where it must be', () => {
    const quoted = { resource: Buffer.from('a,"b"'), detail: '=HYPERLINK("x")', principal: '@x' };
    const line = csvLine(recordOf(quoted));
    expect(line).toContain('"a,""b"""');
    expect(line).toContain(`"'=HYPERLINK(""x"")"`);
    expect(line).toContain(",'@x,");
    expect(CSV_HEAD.split(',')).toHaveLength(20);
    expect(csvLine(recordOf({})).split(',')).toHaveLength(20);
  });

  it.each(['=1', '+1', '-1', '@x', ' =1', '\t=1', '\r=1', '\n=1', '\u00a0=1', '\u200b=1', '＝1'])(
    'begins no cell with a formula: %j',
    (detail) => {
      const cell = csvLine(recordOf({ detail })).split(',').at(-3) ?? '';
      expect(cell).toMatch(/^['\\]/);
    },
  );

  it('has no control character as it is', () => {
    const line = csvLine(recordOf({ resource: Buffer.from(`a${ALL}`), principal: ALL, detail: ALL }));
    expect(rawIn(line)).toEqual([]);
    expect(line.split(',')).toHaveLength(20);
    expect(line).toContain(String.raw`\u{9b}`);
  });
});
