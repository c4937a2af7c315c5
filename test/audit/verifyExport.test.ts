import { execFileSync } from 'node:child_process';
import { Readable } from 'node:stream';
import { beforeAll, describe, expect, it } from 'vitest';
import { exportFields, exportLine, hexOf } from '../../src/audit/exportFormat.ts';
import type { ChainedRecord } from '../../src/audit/record/chain.ts';
import { exportedCheckpoint } from '../../src/audit/signedCheckpoint.ts';
import { linesOf, type NotedHead, verifyExport } from '../../src/audit/verifyExport.ts';
import { LIMITS } from '../../src/base/limits.ts';
import type { KeptCheckpoint } from '../../src/proto/audit.ts';
import { chainOf } from '../api/fakeAudit.ts';
import { type CheckpointSigner, newCheckpointSigner } from '../api/signedCheckpoint.ts';

const RECORDS = chainOf(
  ...Array.from({ length: 30 }, (_, at) => ({
    resource: at % 7 === 0 ? Buffer.from([0xff, at]) : Buffer.from(`prod/ü${at}`),
    resourceEnd: at % 5 === 0 ? Buffer.from([0xff]) : Buffer.alloc(0),
    detail: at % 3 === 0 ? 'a "quoted" line,\u2028 and more' : '',
  })),
);

function exported(records: readonly ChainedRecord[] = RECORDS, filtered = false): string[] {
  const [first] = records;
  const last = records.at(-1);
  const head = {
    holdfastAudit: 1,
    clusterId: 'c1',
    firstSequence: first?.sequence ?? 0,
    previousHash: hexOf(first?.previousHash ?? Buffer.alloc(0)),
    filtered,
    exportedAt: '2026-01-01T00:00:00.000Z',
  };
  const end = {
    records: records.length,
    lastSequence: last?.sequence ?? 0,
    lastHash: hexOf(last?.hash ?? Buffer.alloc(0)),
  };
  return [JSON.stringify(head), ...records.map(exportLine), JSON.stringify(end)];
}

const verify = (lines: readonly string[], noted: NotedHead | null = null) =>
  verifyExport(linesOf(Readable.from([Buffer.from(`${lines.join('\n')}\n`)])), noted);
const headOf = (sequence: number): NotedHead => ({
  sequence,
  hash: hexOf(RECORDS[sequence - 1]?.hash ?? Buffer.alloc(32)),
});

const withFields = (line: string | undefined, change: object): string =>
  JSON.stringify({ ...(JSON.parse(line ?? '') as object), ...change });
/** With another first line, and another last one. */
const forged = (lines: readonly string[], head: object, end: object = {}): string[] =>
  lines.with(0, withFields(lines[0], head)).with(lines.length - 1, withFields(lines.at(-1), end));
const continued = (records: readonly ChainedRecord[]): string[] =>
  forged(exported(records), { continues: true });

describe('an export', () => {
  it('that nobody touched verifies, also against any head that was noted', async () => {
    expect(await verify(exported())).toMatchObject({
      records: 30,
      firstSequence: 1,
      lastSequence: 30,
      isHeadFound: false,
    });
    for (const sequence of [1, 17, 30])
      expect((await verify(exported(), headOf(sequence))).isHeadFound).toBe(true);
    expect(await verify(exported([]))).toMatchObject({ records: 0, lastSequence: 0 });
    expect(await verify(exported().map((line) => `${line}\r`))).toMatchObject({ records: 30 });
  });

  it('of some records verifies each by itself', async () => {
    const some = RECORDS.filter(({ sequence }) => sequence % 4 !== 0);
    expect(await verify(exported(some, true))).toMatchObject({ filtered: true, records: some.length });
    await expect(verify(exported(some, false))).rejects.toMatchObject({ code: 'AUDIT_TAMPERED' });
    const changed = exported(some, true);
    changed[5] = (changed[5] ?? '').replace('"OK"', '"NO"');
    await expect(verify(changed)).rejects.toThrow('line 6: record 6 was changed');
    const swapped = exported(some, true);
    [swapped[3], swapped[9]] = [swapped[9] ?? '', swapped[3] ?? ''];
    await expect(verify(swapped)).rejects.toMatchObject({ code: 'AUDIT_TAMPERED' });
  });

  it('is found out for one byte of any field', async () => {
    const lines = exported();
    const text = lines[6] ?? '';
    for (const [field, value] of Object.entries(JSON.parse(text) as Record<string, string | number>)) {
      if (value === '') continue;
      const json = JSON.parse(text) as Record<string, string | number>;
      json[field] =
        typeof value === 'number' ? value + 1 : value.replace(/.$/, (last) => (last === 'A' ? 'B' : 'A'));
      const changed = lines.with(6, JSON.stringify(json));
      await expect(verify(changed), field).rejects.toMatchObject({ code: 'AUDIT_TAMPERED' });
    }
    for (let at = 0; at < text.length; at += 1) {
      const byte = String.fromCharCode(text.charCodeAt(at) ^ 1);
      const changed = lines.with(6, text.slice(0, at) + byte + text.slice(at + 1));
      await expect(verify(changed), `byte ${at}`).rejects.toMatchObject({ code: 'AUDIT_TAMPERED' });
    }
  });

  const cut = exported(RECORDS.slice(0, 20));
  it.each<[string, readonly string[], string]>([
    ['with its first record removed', exported().toSpliced(1, 1), 'line 2: record 1 is missing'],
    ['with one removed in the middle', exported().toSpliced(15, 1), 'line 16: record 15 is missing'],
    ['with its last record removed', exported().toSpliced(30, 1), 'line 31: it says that other records'],
    [
      'with two swapped',
      exported()
        .with(3, exported()[4] ?? '')
        .with(4, exported()[3] ?? ''),
      'line 4: record 3 is missing',
    ],
    ['with one twice', exported().toSpliced(5, 0, exported()[5] ?? ''), 'line 7: record 6 is missing'],
    ['with the last ten cut', exported().slice(0, 21), 'cut off'],
    ['with the last line cut', exported().slice(0, -1), 'cut off'],
    ['with more behind its end', [...exported(), '{}'], 'behind the last line'],
    ['that is empty', [''], 'not JSON'],
    [
      'with another first line',
      exported().with(0, '{"holdfastAudit":2}'),
      'line 1: it is not the first line',
    ],
    ['without its first line', exported().slice(1), 'line 1: it is not the first line'],
    ['with a list for a record', exported().with(2, '[]'), 'line 3: it is no JSON object'],
    ['with an empty record', exported().with(2, '{}'), 'line 3: it is no record'],
    [
      'with a time that is written otherwise',
      exported().with(2, (exported()[2] ?? '').replace('.000Z', 'Z')),
      'line 3: it is no record',
    ],
  ])('%s is found out', async (_what, lines, message) => {
    await expect(verify(lines)).rejects.toMatchObject({
      code: 'AUDIT_TAMPERED',
      message: expect.stringContaining(message),
    });
  });

  it('with the last ten cut and another last line is found out by a head that was noted', async () => {
    expect((await verify(cut)).lastSequence).toBe(20);
    expect((await verify(cut, headOf(20))).isHeadFound).toBe(true);
    await expect(verify(cut, headOf(21))).rejects.toThrow(
      'the noted record 21 is not in the export, which ends at record 20',
    );
    const other = { sequence: 20, hash: 'a'.repeat(64) };
    await expect(verify(cut, other)).rejects.toThrow('line 21: record 20 is not the one that was noted');
  });

  it.each<[string, readonly string[], NotedHead, string]>([
    [
      'begins after it',
      continued(RECORDS.slice(10)),
      headOf(5),
      'the noted record 5 is not in the export, which begins after it, with record 11',
    ],
    [
      'goes on from it',
      continued(RECORDS.slice(10)),
      headOf(10),
      'the noted record 10 is not in the export, which begins after it, with record 11',
    ],
    ['ends before it', cut, headOf(21), 'the noted record 21 is not in the export, which ends at record 20'],
    [
      'has no records',
      exported([]),
      headOf(20),
      'the noted record 20 is not in the export, which has no records',
    ],
    [
      'has no records, and says that it goes on from it',
      forged(
        exported([]),
        { firstSequence: 21, previousHash: headOf(20).hash, continues: true },
        { lastSequence: 20, lastHash: headOf(20).hash },
      ),
      headOf(20),
      'the noted record 20 is not in the export, which has no records',
    ],
  ])('that %s does not hold a head that was noted', async (_what, lines, noted, message) => {
    await expect(verify(lines, noted)).rejects.toMatchObject({
      code: 'AUDIT_TAMPERED',
      message: expect.stringContaining(message),
    });
  });

  it('is not excused by what its first line says, once a head was noted', async () => {
    const gap = exported(RECORDS.toSpliced(14, 1), true);
    const forgedEmpty = ({ sequence, hash }: NotedHead): readonly string[] => {
      const first = { firstSequence: sequence + 1, previousHash: hash, continues: true };
      const last = { records: 0, lastSequence: sequence, lastHash: hash };
      return [...forged(exported([]), first).slice(0, 1), JSON.stringify(last)];
    };
    for (const [lines, noted] of [
      [forged(cut, { filtered: true }), headOf(21)],
      [forged(gap, { filtered: true }), headOf(30)],
      [exported(RECORDS.slice(10)), headOf(5)],
      [forged(exported([]), { firstSequence: 1_000 }), headOf(20)],
      // Nothing but the first line says so.
      [forgedEmpty(headOf(20)), headOf(20)],
    ] as const)
      await expect(verify(lines, noted)).rejects.toMatchObject({ code: 'AUDIT_TAMPERED' });
  });

  it('of nothing, of bytes without lines, and of a line without end is none', async () => {
    await expect(verifyExport(linesOf(Readable.from([])), null)).rejects.toThrow('the export is empty');
    await expect(verify([String.fromCharCode(0, 255, 254).repeat(99)])).rejects.toMatchObject({
      code: 'AUDIT_TAMPERED',
    });
    let given = 0;
    function* endless() {
      for (;;) {
        given += 1;
        yield Buffer.alloc(16_384, 'x');
      }
    }
    await expect(verifyExport(linesOf(Readable.from(endless())), null)).rejects.toThrow(
      'longer than any record',
    );
    expect(given * 16_384).toBeLessThan(LIMITS.auditLineBytesMax * 4);
  });

  it('of an older release, which wrote some control characters as they are, verifies too', async () => {
    const records = chainOf(...['\u009b31m', '\u007f', '\u202e'].map((detail) => ({ detail })));
    const lines = exported(records);
    const older = [
      lines[0] ?? '',
      ...records.map((one) => JSON.stringify(exportFields(one))),
      lines[4] ?? '',
    ];
    expect(older[1]).toContain('\u009b');
    expect((await verify(older)).records).toBe(3);
    expect((await verify(lines)).records).toBe(3);
    const otherwise = lines.with(1, (lines[1] ?? '').replace('\\u009b', '\\u009B'));
    await expect(verify(otherwise)).rejects.toThrow('it is not written as an export writes a record');
  });

  it('is read in pieces of any length', async () => {
    const bytes = Buffer.from(`${exported().join('\n')}\n`);
    for (const length of [1, 7, 1_000]) {
      const pieces = Array.from({ length: Math.ceil(bytes.length / length) }, (_, at) =>
        bytes.subarray(at * length, (at + 1) * length),
      );
      expect((await verifyExport(linesOf(Readable.from(pieces)), null)).records).toBe(30);
    }
  });
});

describe('an export that begins later', () => {
  let signer: CheckpointSigner;
  let other: CheckpointSigner;
  beforeAll(async () => {
    signer = await newCheckpointSigner();
    other = await newCheckpointSigner();
  });
  const LATER = exported(RECORDS.slice(10));
  const withHead = (head: object): string[] =>
    LATER.with(0, JSON.stringify({ ...(JSON.parse(LATER[0] ?? '') as object), ...head }));
  const behind = (change: Partial<KeptCheckpoint> = {}): string[] => {
    const checkpoint = signer.sign(RECORDS[9] as ChainedRecord);
    return withHead({ checkpoint: exportedCheckpoint({ ...checkpoint, ...change }) });
  };
  const verifyOf = (lines: readonly string[], authority: string) =>
    verifyExport(linesOf(Readable.from([Buffer.from(lines.join('\n'))])), null, authority);

  it('verifies behind a checkpoint that its CA has signed, and tells the CA', async () => {
    expect(await verify(behind())).toMatchObject({
      firstSequence: 11,
      records: 20,
      begins: 'checkpoint',
      caFingerprint: signer.fingerprint,
    });
    expect((await verifyOf(behind(), signer.fingerprint)).begins).toBe('checkpoint');
    await expect(verifyOf(behind(), other.fingerprint)).rejects.toMatchObject({
      code: 'CERTIFICATE_INVALID',
      field: 'ca-fingerprint',
    });
  });

  it('has the noted head in the checkpoint, once that is signed', async () => {
    expect((await verify(behind(), headOf(10))).isHeadFound).toBe(true);
    const other = { sequence: 10, hash: 'a'.repeat(64) };
    await expect(verify(behind(), other)).rejects.toThrow('line 1: record 10 is not the one that was noted');
    await expect(verify(behind({ timeMs: 1 }), headOf(10))).rejects.toThrow('has not signed the checkpoint');
    await expect(verify(behind(), headOf(9))).rejects.toThrow('begins after it, with record 11');
  });

  it('is refused without one, unless it says that what came before is left out on purpose', async () => {
    await expect(verify(LATER)).rejects.toThrow('begins with record 11, without a checkpoint');
    expect(await verify(withHead({ continues: true }))).toMatchObject({
      begins: 'later',
      caFingerprint: null,
    });
    for (const head of [{ continues: true }, { filtered: true }])
      await expect(verifyOf(withHead(head), signer.fingerprint)).rejects.toThrow('without a checkpoint');
  });

  it.each<[string, () => Partial<KeptCheckpoint>]>([
    ['sequence', () => ({ sequence: 9 })],
    ['hash', () => ({ hash: Buffer.alloc(32, 1) })],
    ['time', () => ({ timeMs: 1 })],
    ['signature', () => ({ signature: Buffer.alloc(70) })],
    ['certificate', () => ({ certificate: Buffer.from('none') })],
    ['CA', () => ({ certificate: other.certificate })],
  ])('is found out with a checkpoint of another %s', async (_what, change) => {
    await expect(verify(behind(change()))).rejects.toMatchObject({ code: 'AUDIT_TAMPERED' });
  });

  it.each([null, 'x', {}, { sequence: 10 }])('is found out with the checkpoint %j', async (checkpoint) => {
    await expect(verify(withHead({ checkpoint }))).rejects.toThrow('none with all its fields');
  });
});

it('a program of somebody else computes the same hash from the documented bytes', () => {
  const program = `
import base64, hashlib, json, struct, sys
def data(record, field):
    if field + "Base64" in record: return base64.b64decode(record[field + "Base64"])
    return record.get(field, "").encode()
for line in sys.stdin:
    record = json.loads(line)
    parts = bytes.fromhex(record["previousHash"])
    from datetime import datetime
    ms = round(datetime.fromisoformat(record["time"].replace("Z", "+00:00")).timestamp() * 1000)
    parts += struct.pack(">5Q", record["sequence"], ms, record["index"], record["revision"], record["count"])
    fields = [data(record, "resource"), data(record, "resourceEnd")]
    names = "principalKind principal session address node action result requestId detail".split()
    fields += [record[name].encode() for name in names]
    for field in fields: parts += struct.pack(">I", len(field)) + field
    print(hashlib.sha256(parts).hexdigest())
`;
  const lines = RECORDS.map(exportLine).join('\n');
  const found = execFileSync('python3', ['-c', program], { input: lines }).toString().trim().split('\n');
  expect(found).toEqual(RECORDS.map(({ hash }) => hexOf(hash)));
});
