import {
  appendFileSync,
  createReadStream,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ChainedRecord } from '../../../src/audit/record/chain.ts';
import { FileSink } from '../../../src/audit/sink/fileSink.ts';
import { batchesOf } from '../../../src/audit/sink/sink.ts';
import { linesOf, verifyExport } from '../../../src/audit/verifyExport.ts';
import { ManualClock } from '../../../src/base/clock.ts';
import { LIMITS } from '../../../src/base/limits.ts';
import { chainOf } from '../../api/fakeAudit.ts';
import { FakeLogger } from '../../node/nodeFolder.ts';
import { refusalOf } from '../../node/refusal.ts';
import { batchOf, recordsUpTo } from './records.ts';

const RECORDS = recordsUpTo(40);
let folder: string;
let path: string;
let logger: FakeLogger;
let sinks: FileSink[];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-sink-'));
  path = join(folder, 'audit.jsonl');
  logger = new FakeLogger();
  sinks = [];
});
afterEach(async () => {
  for (const sink of sinks) await sink.close();
  rmSync(folder, { recursive: true });
});

interface Given {
  readonly rotateBytes?: number;
  readonly clusterId?: string;
  readonly sync?: (handle: FileHandle) => Promise<void>;
}

/** As a node that has just started has it. */
function opened({
  rotateBytes = LIMITS.auditSinkRotateBytes,
  clusterId = 'c1',
  ...rest
}: Given = {}): FileSink {
  const destination = { kind: 'file', path } as const;
  const sink = new FileSink({
    destination,
    rotateBytes,
    clusterId,
    clock: new ManualClock(),
    logger,
    ...rest,
  });
  sinks.push(sink);
  return sink;
}

const slice = (first: number, last: number): readonly ChainedRecord[] => RECORDS.slice(first - 1, last);
const sequencesOf = (file: string): readonly number[] =>
  readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('{"sequence"'))
    .map((line) => (JSON.parse(line) as { sequence: number }).sequence);
const upTo = (last: number, first = 1): readonly number[] =>
  Array.from({ length: last - first + 1 }, (_, at) => first + at);
const rotated = (): readonly string[] =>
  readdirSync(folder)
    .filter((name) => name !== 'audit.jsonl')
    .toSorted();
const verified = (name: string) => verifyExport(linesOf(createReadStream(join(folder, name))), null);

describe('a file of audit records', () => {
  it('grows by what is delivered, can be read by nobody else, and says where it ends', async () => {
    const sink = opened();
    expect(await sink.reached()).toBeNull();
    await sink.deliver(batchOf(slice(1, 3)));
    await sink.deliver(batchOf(slice(4, 4)));
    expect(sequencesOf(path)).toEqual([1, 2, 3, 4]);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(await opened().reached()).toEqual({ sequence: 4, hash: RECORDS[3]?.hash });
  });

  it('is cut back to its last whole line, wherever the write ended', async () => {
    const sink = opened();
    await sink.deliver(batchOf(slice(1, 2)));
    const whole = statSync(path).size;
    await sink.deliver(batchOf(slice(3, 3)));
    const full = readFileSync(path);
    for (const size of [whole + 1, whole + 200, full.length - 1]) {
      writeFileSync(path, full.subarray(0, size));
      const next = opened();
      expect((await next.reached())?.sequence).toBe(2);
      expect(statSync(path).size).toBe(whole);
      await next.deliver(batchOf(slice(3, 3)));
      expect(readFileSync(path)).toEqual(full);
    }
    expect(logger.warnings).toHaveLength(3);
  });

  it('is cut where a write has left a hole', async () => {
    const sink = opened();
    await sink.deliver(batchOf(slice(1, 2)));
    const whole = statSync(path).size;
    await sink.deliver(batchOf(slice(3, 5)));
    const bytes = readFileSync(path);
    bytes.fill(0, whole + 10, whole + 600);
    writeFileSync(path, bytes);
    expect((await opened().reached())?.sequence).toBe(2);
    expect(statSync(path).size).toBe(whole);
  });

  const lineOf = (record: ChainedRecord | undefined): string =>
    batchOf(record ? [record] : []).lines[0] ?? '';
  const OTHER = chainOf(...Array.from({ length: 3 }, () => ({ detail: 'other' })));
  it.each<[string, string]>([
    ['a record that does not follow', lineOf(OTHER[2])],
    ['one of its own again', lineOf(RECORDS[1])],
    ['one that comes later', lineOf(RECORDS[3])],
    ['the next one, changed', lineOf(RECORDS[2]).replace('"OK"', '"NO"')],
    ['the next one with another hash', lineOf(RECORDS[2]).replace(/[0-9a-f]{64}"}$/, `${'a'.repeat(64)}"}`)],
    ['some other text', 'root:x:0:0'],
    ['some other JSON', '{"sequence":3}'],
    ['a last line that is another one', '{"records":9,"lastSequence":9,"lastHash":""}'],
  ])(
    'is refused at each start when somebody has written %s to it, and stays as it is',
    async (_what, line) => {
      await opened().deliver(batchOf(slice(1, 2)));
      appendFileSync(path, `${line}\n`);
      const found = readFileSync(path);
      for (let start = 0; start < 2; start += 1) {
        const sink = opened();
        const steps: (() => Promise<unknown>)[] = [
          () => sink.reached(),
          () => sink.deliver(batchOf(slice(3, 3))),
        ];
        for (const step of steps) expect(await refusalOf(step)).toMatchObject({ code: 'AUDIT_TAMPERED' });
      }
      expect(readFileSync(path)).toEqual(found);
      expect(rotated()).toEqual([]);
      renameSync(path, `${path}.moved`);
      await opened().deliver(batchOf(slice(3, 3)));
      expect(sequencesOf(path)).toEqual([3]);
    },
  );

  it('is refused when there is more behind its last line', async () => {
    const sink = opened({ rotateBytes: 1 });
    await sink.deliver(batchOf(slice(1, 2)));
    await sink.deliver(batchOf(slice(3, 3)));
    await sink.close();
    renameSync(join(folder, 'audit.jsonl.000000000002'), path);
    appendFileSync(path, `${lineOf(RECORDS[2])}\n`);
    expect(await refusalOf(() => opened().reached())).toMatchObject({ code: 'AUDIT_TAMPERED' });
  });

  it('may end within its very first line', async () => {
    const sink = opened();
    await sink.deliver(batchOf(slice(1, 2)));
    const full = readFileSync(path);
    for (const size of [1, 9, 40, full.indexOf('\n') + 1, full.indexOf('\n') + 30]) {
      writeFileSync(path, full.subarray(0, size));
      const next = opened();
      expect((await next.reached())?.sequence ?? 0).toBe(0);
      await next.deliver(batchOf(slice(1, 2)));
      expect(readFileSync(path)).toEqual(full);
    }
    expect(rotated()).toEqual([]);
  });

  it('says what it has when the node ended before it knew', async () => {
    await opened().deliver(batchOf(slice(1, 5)));
    expect((await opened().reached())?.sequence).toBe(5);
  });

  it('is looked at from its end, however long it is', async () => {
    const many = recordsUpTo(6_000, { bytes: 300 });
    const sink = opened();
    for (const batch of batchesOf(many)) await sink.deliver(batch);
    expect(statSync(path).size).toBeGreaterThan(
      2 * LIMITS.auditSinkBatchBytes + 2 * LIMITS.auditLineBytesMax,
    );
    appendFileSync(path, '{"sequence":6001,');
    expect(await opened().reached()).toEqual({ sequence: 6_000, hash: many.at(-1)?.hash });
  });
});

describe('rotation', () => {
  const lineBytes = Buffer.byteLength(`${batchOf(slice(10, 10)).lines[0]}\n`);

  it('begins another file before one becomes too large; each verifies, and together they miss nothing', async () => {
    const sink = opened({ rotateBytes: 10 * lineBytes });
    for (let first = 1; first < 40; first += 3) await sink.deliver(batchOf(slice(first, first + 2)));
    const names = rotated();
    expect(names.length).toBeGreaterThan(3);
    const all: number[] = [];
    for (const name of names) {
      const { firstSequence, lastSequence } = await verified(name);
      expect(name).toBe(`audit.jsonl.${String(lastSequence).padStart(12, '0')}`);
      expect(firstSequence).toBe(all.length + 1);
      all.push(...sequencesOf(join(folder, name)));
    }
    expect([...all, ...sequencesOf(path)]).toEqual(upTo(39));
    for (const name of names) expect(statSync(join(folder, name)).size).toBeLessThan(12 * lineBytes);
  });

  it('happens at the byte behind the bound, not at the bound', async () => {
    const sink = opened({ rotateBytes: 1 });
    await sink.deliver(batchOf(slice(10, 10)));
    const { size } = statSync(path);
    await sink.close();
    const exact = opened({ rotateBytes: size + lineBytes });
    await exact.deliver(batchOf(slice(11, 11)));
    expect(rotated()).toEqual([]);
    await exact.close();
    const below = opened({ rotateBytes: size + 2 * lineBytes - 1 });
    await below.deliver(batchOf(slice(12, 12)));
    expect(rotated()).toEqual(['audit.jsonl.000000000011']);
    expect(sequencesOf(path)).toEqual([12]);
  });

  it('is ended by the next start, when the node ended before the new name', async () => {
    const sink = opened({ rotateBytes: 1 });
    await sink.deliver(batchOf(slice(1, 2)));
    await sink.deliver(batchOf(slice(3, 3)));
    await sink.close();
    renameSync(join(folder, 'audit.jsonl.000000000002'), path);
    const next = opened();
    // Whoever asks has to be able to look at what it holds before it is moved.
    expect(await next.reached()).toEqual({ sequence: 2, hash: RECORDS[1]?.hash });
    expect(rotated()).toEqual([]);
    await next.deliver(batchOf(slice(3, 3)));
    expect(rotated()).toEqual(['audit.jsonl.000000000002']);
    expect(await verified('audit.jsonl.000000000002')).toMatchObject({ firstSequence: 1, lastSequence: 2 });
    expect(sequencesOf(path)).toEqual([3]);
  });

  it('keeps apart what does not follow, and throws nothing away', async () => {
    const sink = opened();
    await sink.deliver(batchOf(slice(1, 3)));
    await sink.deliver(batchOf(slice(7, 8)));
    await sink.deliver(batchOf(slice(1, 3)));
    await sink.deliver(batchOf(slice(1, 1)));
    expect(rotated()).toEqual([
      'audit.jsonl.000000000003',
      'audit.jsonl.000000000003.2',
      'audit.jsonl.000000000008',
    ]);
    for (const name of rotated()) await verified(name);
  });
});

describe('a file that cannot be written', () => {
  it('has nothing of a batch that was not brought to disk, and gets it once', async () => {
    let fails = false;
    const sync = (handle: FileHandle): Promise<void> =>
      fails ? Promise.reject(Object.assign(new Error('EIO'), { code: 'EIO' })) : handle.sync();
    const sink = opened({ sync });
    await sink.deliver(batchOf(slice(1, 2)));
    fails = true;
    const refusal = await refusalOf(() => sink.deliver(batchOf(slice(3, 4))));
    expect(refusal).toMatchObject({ code: 'FILE_UNREADABLE', message: expect.stringContaining('EIO') });
    expect(refusal.message).not.toContain(folder);
    expect(await refusalOf(() => sink.reached())).toMatchObject({ code: 'FILE_UNREADABLE' });
    fails = false;
    expect((await sink.reached())?.sequence).toBe(2);
    await sink.deliver(batchOf(slice(3, 4)));
    expect(sequencesOf(path)).toEqual([1, 2, 3, 4]);
    expect(rotated()).toEqual([]);
  });

  it('is one whose folder is missing, until it is there', async () => {
    path = join(folder, 'missing', 'audit.jsonl');
    const sink = opened();
    expect(await refusalOf(() => sink.reached())).toMatchObject({
      message: expect.stringContaining('ENOENT'),
    });
    mkdirSync(join(folder, 'missing'));
    await sink.deliver(batchOf(slice(1, 1)));
    expect(sequencesOf(path)).toEqual([1]);
  });

  it.each([
    ['other text', 'root:x:0:0\nmore'],
    ['other JSON', '{"a":1}\n{"b":2}\n'],
    ['one line without an end', 'x'.repeat(80)],
    ['a head, and then something else', `{"holdfastAudit":9,"clusterId":"c1"}\n`],
  ])('is one that holds %s: it stays as it is', async (_what, content) => {
    writeFileSync(path, content);
    expect(await refusalOf(() => opened().reached())).toMatchObject({ code: 'FILE_UNREADABLE' });
    expect(readFileSync(path, 'utf8')).toBe(content);
  });

  it('is that of another cluster, and what is no file', async () => {
    await opened({ clusterId: 'c2' }).deliver(batchOf(slice(1, 1)));
    const before = readFileSync(path);
    expect(await refusalOf(() => opened().reached())).toMatchObject({ code: 'CLUSTER_MISMATCH' });
    expect(readFileSync(path)).toEqual(before);
    path = '/dev/null';
    expect(await refusalOf(() => opened().reached())).toMatchObject({
      message: expect.stringContaining('regular'),
    });
  });

  it('is one that somebody else writes to or has moved', async () => {
    const sink = opened();
    await sink.deliver(batchOf(slice(1, 2)));
    truncateSync(path, statSync(path).size - 1);
    expect(await refusalOf(() => sink.deliver(batchOf(slice(3, 3))))).toMatchObject({
      message: expect.stringContaining('somebody else'),
    });
    expect((await sink.reached())?.sequence).toBe(1);
    renameSync(path, `${path}.moved`);
    await sink.deliver(batchOf(slice(2, 3)));
    expect(sequencesOf(path)).toEqual([2, 3]);
    // Another file in its place: what it has is to be asked for before more is written.
    rmSync(path);
    renameSync(`${path}.moved`, path);
    expect(await refusalOf(() => sink.deliver(batchOf(slice(4, 4))))).toMatchObject({
      message: expect.stringContaining('somebody else'),
    });
    expect((await sink.reached())?.sequence).toBe(1);
  });
});

it('a file that is being opened when the sink is closed is closed too', async () => {
  let closing = Promise.resolve();
  let handle: FileHandle | null = null;
  const sink = opened({
    sync: (given) => {
      handle = given;
      closing = sink.close();
      return closing;
    },
  });
  expect(await refusalOf(() => sink.reached())).toMatchObject({ code: 'UNAVAILABLE' });
  expect(handle).toMatchObject({ fd: -1 });
  expect(await refusalOf(() => sink.deliver(batchOf(slice(1, 1))))).toMatchObject({ code: 'UNAVAILABLE' });
});
