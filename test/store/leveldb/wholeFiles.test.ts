import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Level } from 'level';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { present } from '../../../src/base/assert.ts';
import { openLevelDatabase } from '../../../src/store/database.ts';
import { crc32c, maskedCrc32c } from '../../../src/store/leveldb/crc32c.ts';
import { liveTables } from '../../../src/store/leveldb/manifest.ts';
import { assertTableWhole } from '../../../src/store/leveldb/table.ts';
import { assertFilesWhole } from '../../../src/store/leveldb/wholeFiles.ts';

const ROWS = 400;
const BLOCK_BYTES = 32 * 1024;
const HEADER_BYTES = 7;
let directory: string;
let another: Buffer;

/** Written in several runs, so that there are tables in more than one level, and a log beside them. */
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'holdfast-tables-'));
  for (let run = 0; run < 6; run += 1) {
    const database = new Level<Buffer, Buffer>(directory, {
      keyEncoding: 'buffer',
      valueEncoding: 'buffer',
      compression: false,
      writeBufferSize: 64 * 1024,
    });
    await database.open();
    for (let i = run; i < ROWS; i += 3)
      await database.put(Buffer.from(`key/${i}`), Buffer.alloc(1_000, `${run} ${i} `));
    await database.close();
  }
  another = await tableOfOneRow();
  assertTableWhole(another);
});
afterAll(() => rmSync(directory, { recursive: true }));

const tables = (): readonly string[] => readdirSync(directory).filter((name) => name.endsWith('.ldb'));
const tableBytes = (): Buffer => readFileSync(join(directory, tables()[0] ?? ''));
/** A whole table of one short row: smaller than any of the others, of which nobody knows how LevelDB merges them. */
async function tableOfOneRow(): Promise<Buffer> {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-table-'));
  // What the log holds becomes a table at the next start.
  for (const starts of [1, 2]) {
    const database = new Level(folder, { compression: false });
    await database.open();
    if (starts === 1) await database.put('key', 'value');
    await database.close();
  }
  const [name] = readdirSync(folder).filter((one) => one.endsWith('.ldb'));
  const table = readFileSync(join(folder, present(name, 'a table')));
  rmSync(folder, { recursive: true });
  return table;
}
const manifestName = (): string => readFileSync(join(directory, 'CURRENT'), 'latin1').trim();

/** The files are as before when it is over. */
async function changed(
  name: string,
  change: (bytes: Buffer) => Buffer | null,
  during: () => Promise<void>,
): Promise<void> {
  const path = join(directory, name);
  const before = readFileSync(path);
  const after = change(Buffer.from(before));
  if (after === null) rmSync(path);
  else writeFileSync(path, after);
  try {
    await during();
  } finally {
    writeFileSync(path, before);
  }
}

describe('CRC-32C', () => {
  it.each([
    ['no bytes', Buffer.alloc(0), 0],
    ['the digits', Buffer.from('123456789'), 0xe3069283],
    ['32 bytes of zeros (RFC 3720, B.4)', Buffer.alloc(32), 0x8a9136aa],
    ['32 bytes of ones (RFC 3720, B.4)', Buffer.alloc(32, 0xff), 0x62a8ab43],
    ['32 rising bytes (RFC 3720, B.4)', Buffer.from(Array.from({ length: 32 }, (_, i) => i)), 0x46dd794e],
  ])('of %s', (_, bytes, expected) => expect(crc32c(bytes)).toBe(expected));

  it('is masked as LevelDB does it', () => {
    expect(maskedCrc32c(Buffer.from('foo'))).not.toBe(crc32c(Buffer.from('foo')));
    expect(maskedCrc32c(Buffer.alloc(0))).toBe(0xa282ead8);
  });
});

describe('the tables of a database', () => {
  it('are those that the manifest names, and are whole', async () => {
    const live = liveTables(readFileSync(join(directory, manifestName())));
    expect([...live.keys()].length).toBeGreaterThan(1);
    for (const [number, bytes] of live)
      expect(readFileSync(join(directory, `${String(number).padStart(6, '0')}.ldb`)).length).toBe(bytes);
    await assertFilesWhole(directory);
  });

  it('have no byte that can change unseen', () => {
    const bytes = tableBytes();
    const step = Math.max(1, Math.floor(bytes.length / 1_500));
    const offsets = [...bytes.keys()].filter((at) => at % step === 0 || at > bytes.length - 400);
    for (const at of offsets) {
      bytes.writeUInt8(bytes.readUInt8(at) ^ (1 << (at % 8)), at);
      expect(() => assertTableWhole(bytes), `the bit at ${at}`).toThrow(RangeError);
      bytes.writeUInt8(bytes.readUInt8(at) ^ (1 << (at % 8)), at);
    }
    expect(() => assertTableWhole(bytes)).not.toThrow();
  });

  it('have nothing that is in no block', () => {
    const bytes = tableBytes();
    const footer = bytes.length - 48;
    const more = Buffer.concat([bytes.subarray(0, footer), Buffer.alloc(10), bytes.subarray(footer)]);
    expect(() => assertTableWhole(more)).toThrow(`nothing begins at ${footer}, where a block ends`);
  });

  it('have no end that can be missing', () => {
    const bytes = tableBytes();
    for (const length of [0, 1, 47, 48, 100, bytes.length - 48, bytes.length - 1])
      expect(() => assertTableWhole(bytes.subarray(0, length)), `${length} bytes`).toThrow(RangeError);
  });

  it.each([
    ['shorter', (bytes: Buffer) => bytes.subarray(0, -1)],
    ['longer', (bytes: Buffer) => Buffer.concat([bytes, Buffer.alloc(1)])],
    ['changed', (bytes: Buffer) => bytes.fill(0xaa, 100, 101)],
    ['another one, whole', () => another],
    ['gone', () => null],
  ])('are refused when one is %s, and LevelDB never sees them', async (_, change) => {
    const live = [...liveTables(readFileSync(join(directory, manifestName()))).keys()];
    const name = `${String(live.at(-1)).padStart(6, '0')}.ldb`;
    await changed(name, change, async () => {
      const before = readdirSync(directory);
      await expect(openLevelDatabase({ path: directory, create: false })).rejects.toMatchObject({
        code: 'STATE_CORRUPT',
      });
      expect(readdirSync(directory)).toEqual(before);
    });
  });

  it('may lie beside one that a compaction has left unfinished', async () => {
    const path = join(directory, '999999.ldb');
    writeFileSync(path, 'half a table');
    await assertFilesWhole(directory);
    rmSync(path);
  });
});

describe('a manifest', () => {
  it.each([
    ['cut off in its last record', (bytes: Buffer) => bytes.subarray(0, -3)],
    ['ending with zeros', (bytes: Buffer) => Buffer.concat([bytes, Buffer.alloc(64)])],
  ])('may be %s, as LevelDB takes it', async (_, change) => {
    expect(() => liveTables(change(readFileSync(join(directory, manifestName()))))).not.toThrow();
  });

  it('has no byte that can change unseen', () => {
    const bytes = Buffer.concat([logOf(newTable(5, 1_000)), logOf(newTable(8, 2_000))]);
    expect(liveTables(bytes)).toEqual(
      new Map([
        [5, 1_000],
        [8, 2_000],
      ]),
    );
    for (let at = 0; at < bytes.length; at += 1) {
      const flipped = Buffer.from(bytes);
      flipped.writeUInt8(bytes.readUInt8(at) ^ 0x10, at);
      const seen = outcome(() => liveTables(flipped));
      // A length that reaches past the end reads as an append that was cut off, to LevelDB as well.
      if (seen !== 'refused') expect(seen.size, `byte ${at}`).toBeLessThan(2);
    }
  });

  it.each([
    [false, 'is read whole'],
    [true, 'names tables that holdfast has not written: they are compressed'],
  ])('that LevelDB wrote over several blocks, with compression %j, %s', async (compression) => {
    const folder = mkdtempSync(join(tmpdir(), 'holdfast-manifest-'));
    const encoding = { keyEncoding: 'buffer', valueEncoding: 'buffer' } as const;
    const options = { ...encoding, writeBufferSize: 64 * 1024, compression };
    const database = new Level<Buffer, Buffer>(folder, options);
    // Each edit holds the least and the greatest key of its tables.
    for (let i = 0; i < 600; i += 1)
      await database.put(Buffer.alloc(4_000, `${i % 7} ${i} `), Buffer.alloc(100));
    await database.close();
    const name = readFileSync(join(folder, 'CURRENT'), 'latin1').trim();
    expect(readFileSync(join(folder, name)).length).toBeGreaterThan(3 * BLOCK_BYTES);
    if (compression) await expect(assertFilesWhole(folder)).rejects.toThrow('is compressed');
    else await assertFilesWhole(folder);
    rmSync(folder, { recursive: true });
  });

  it.each([0, 6, 7, 8, 20])('may have a record that begins %i bytes before the end of a block', (left) => {
    const edit = Buffer.concat([commentOf(BLOCK_BYTES * 2 + 100), newTable(5, 1_000)]);
    const first = commentOf(BLOCK_BYTES - HEADER_BYTES - left);
    expect(first).toHaveLength(BLOCK_BYTES - HEADER_BYTES - left);
    expect(liveTables(logOfBlocks([first, edit, newTable(8, 2_000)]))).toEqual(
      new Map([
        [5, 1_000],
        [8, 2_000],
      ]),
    );
  });

  it.each([
    ['a middle without a beginning', [[3, 'a']]],
    ['an end without a beginning', [[4, 'a']]],
    [
      'a beginning in the middle',
      [
        [2, 'a'],
        [2, 'b'],
      ],
    ],
    [
      'a whole one in the middle',
      [
        [2, 'a'],
        [1, 'b'],
      ],
    ],
    ['no known type', [[5, 'a']]],
    [
      'no known type in the middle',
      [
        [2, 'a'],
        [5, 'b'],
      ],
    ],
  ] as [string, [number, string][]][])(
    'with fragments of a record that are %s is refused',
    (_, fragments) => {
      const log = Buffer.concat(fragments.map(([type, text]) => fragmentOf(type, Buffer.from(text))));
      expect(() => liveTables(log)).toThrow('where none belongs');
    },
  );

  it('with a record that is too long for its block is refused, unless it is the last', () => {
    const log = logOfBlocks([commentOf(BLOCK_BYTES * 3)]);
    expect(liveTables(log).size).toBe(0);
    log.writeUInt16LE(BLOCK_BYTES, 4);
    expect(() => liveTables(log)).toThrow('is too long');
    expect(liveTables(log.subarray(0, BLOCK_BYTES)).size).toBe(0);
  });

  it('names a table that moved to another level once, and none that was deleted', () => {
    const moved = Buffer.concat([Buffer.from([6, 0, 5]), newTable(5, 1_000, 1)]);
    const log = [newTable(5, 1_000), newTable(8, 2_000), moved, Buffer.from([6, 0, 8])].map(logOf);
    expect(liveTables(Buffer.concat(log))).toEqual(new Map([[5, 1_000]]));
  });

  it.each([
    ['a field of no known type', [42]],
    ['a number without end', [2, ...Array<number>(12).fill(0xff)]],
    ['a number that is too large by its last byte', [2, ...Array<number>(7).fill(0xff), 0x7f]],
    ['a number of more bytes than any has', [2, ...Array<number>(200).fill(0x80), 1]],
    ['a name that is longer than the record', [1, 200, 65]],
  ])('with %s is refused', (_, edit) => {
    expect(() => liveTables(logOf(Buffer.from(edit)))).toThrow(RangeError);
  });

  it.each(['', 'MANIFEST-000001', '../MANIFEST-000001\n'])('is not looked for as %j', async (text) => {
    await changed(
      'CURRENT',
      () => Buffer.from(text),
      async () => {
        await expect(assertFilesWhole(directory)).rejects.toThrow(RangeError);
      },
    );
  });
});

function outcome<Result>(run: () => Result): Result | 'refused' {
  try {
    return run();
  } catch (thrown) {
    if (thrown instanceof RangeError) return 'refused';
    throw thrown;
  }
}

/** A version edit: a table of level 0, from key a to key z. */
function newTable(number: number, bytes: number, level = 0): Buffer {
  return Buffer.from([7, level, number, (bytes % 128) | 0x80, Math.floor(bytes / 128), 1, 97, 1, 122]);
}

/** A version edit of that many bytes, at least 16 KiB, which names no table: a comparator with a long name. */
function commentOf(bytes: number): Buffer {
  const name = bytes - 4;
  const edit = Buffer.alloc(bytes, 'x');
  edit.set([1, (name % 128) | 0x80, (Math.floor(name / 128) % 128) | 0x80, Math.floor(name / 16_384)]);
  return edit;
}

function logOf(data: Buffer): Buffer {
  return fragmentOf(1, data);
}

/** The edits as LevelDB lays them out: what does not fit into a block goes on in the next one. */
function logOfBlocks(edits: readonly Buffer[]): Buffer {
  const parts: Buffer[] = [];
  let left = BLOCK_BYTES;
  for (const edit of edits) {
    for (let at = 0, begins = true; begins || at < edit.length; begins = false) {
      if (left < HEADER_BYTES) {
        parts.push(Buffer.alloc(left));
        left = BLOCK_BYTES;
      }
      const data = edit.subarray(at, at + left - HEADER_BYTES);
      at += data.length;
      const ends = at === edit.length;
      const type = begins ? (ends ? 1 : 2) : ends ? 4 : 3;
      parts.push(fragmentOf(type, data));
      left -= HEADER_BYTES + data.length;
    }
  }
  return Buffer.concat(parts);
}

function fragmentOf(type: number, data: Buffer): Buffer {
  const covered = Buffer.concat([Buffer.from([type]), data]);
  const header = Buffer.alloc(6);
  header.writeUInt32LE(maskedCrc32c(covered), 0);
  header.writeUInt16LE(data.length, 4);
  return Buffer.concat([header, covered]);
}
