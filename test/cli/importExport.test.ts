import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HoldfastError } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { CliRig, type Ended } from './rig.ts';

let rig: CliRig;
beforeEach(async () => {
  rig = await CliRig.create();
  rig.node.state.revision = 0;
});
afterEach(() => rig.close());

const json = ({ stdout }: Ended): unknown => JSON.parse(stdout.toString());
const errorOf = ({ stderr }: Ended): { code: string; message: string } =>
  (JSON.parse(stderr) as { error: { code: string; message: string } }).error;

/** Every file below a folder by its relative path. Latin-1: one character a byte. */
function filesIn(folder: string): Map<string, string> {
  const found = new Map<string, string>();
  const root = Buffer.from(`${folder}/`);
  const visit = (path: Buffer): void => {
    for (const entry of readdirSync(path, { withFileTypes: true, encoding: 'buffer' })) {
      const child = Buffer.concat([path, entry.name]);
      if (entry.isDirectory()) visit(Buffer.concat([child, Buffer.from('/')]));
      else found.set(child.subarray(root.length).toString('latin1'), readFileSync(child, 'latin1'));
    }
  };
  visit(root);
  return found;
}

function makeTree(): string {
  const folder = rig.path('tree');
  mkdirSync(join(folder, 'a', 'b'), { recursive: true });
  writeFileSync(join(folder, 'empty'), '');
  writeFileSync(join(folder, 'a', 'binary'), Buffer.from(Array.from({ length: 256 }, (_, i) => i)));
  writeFileSync(join(folder, 'a', 'b', 'largest'), Buffer.alloc(LIMITS.valueBytesMax, 'x'));
  writeFileSync(join(folder, 'a', '…ü'), 'name beyond ASCII');
  writeFileSync(Buffer.concat([Buffer.from(`${folder}/a/`), Buffer.from([0xff, 0xfe])]), 'no text');
  return folder;
}

describe('import and export', () => {
  it('give back every file byte for byte', async () => {
    const folder = makeTree();
    const imported = await rig.cli(['kv', 'import', folder, '--prefix', 'in/', '--output', 'json']);
    const bytes = [...filesIn(folder).values()].reduce((sum, content) => sum + content.length, 0);
    expect(json(imported)).toEqual({ keys: 5, bytes, revision: 5, leftOut: [] });
    const exported = await rig.cli(['kv', 'export', rig.path('out'), '--prefix', 'in/', '--output', 'json']);
    expect(json(exported)).toEqual({ keys: 5, bytes, revision: 5 });
    expect(filesIn(rig.path('out'))).toEqual(filesIn(folder));
    expect(statSync(rig.path('out/a/binary')).mode & 0o777).toBe(0o600);
    expect(statSync(rig.path('out/a')).mode & 0o777).toBe(0o700);
  });

  it('give back real documents', async () => {
    const corpus = fileURLToPath(new URL('../testdata/corpus', import.meta.url));
    const before = filesIn(corpus);
    expect(Math.max(...[...before.values()].map((content) => content.length))).toBeGreaterThan(1_048_576);
    expect((await rig.cli(['kv', 'import', corpus])).status).toBe(0);
    expect((await rig.cli(['kv', 'export', rig.path('out')])).status).toBe(0);
    expect(filesIn(rig.path('out'))).toEqual(before);
  });
});

describe('kv import', () => {
  it('names links and follows none', async () => {
    const folder = makeTree();
    symlinkSync('/etc/passwd', join(folder, 'link'));
    symlinkSync(folder, join(folder, 'a', 'loop'));
    const { stdout, stderr, status } = await rig.cli(['kv', 'import', folder]);
    expect(status).toBe(0);
    expect(stdout.toString()).toContain('5 keys stored');
    expect(stderr).toContain(`left out, no regular file: ${folder}/a/loop`);
    expect(stderr).toContain(`left out, no regular file: ${folder}/link`);
  });

  it.each<[string, (folder: string) => void, string, string]>([
    [
      'a file over the limit',
      (folder) => writeFileSync(join(folder, 'z'), Buffer.alloc(LIMITS.valueBytesMax + 1)),
      'TOO_LARGE',
      String(LIMITS.valueBytesMax),
    ],
    [
      'a path over the limit of a key',
      (folder) => {
        const deep = Array.from({ length: 5 }, () => 'd'.repeat(204));
        mkdirSync(join(folder, ...deep), { recursive: true });
        writeFileSync(join(folder, ...deep, 'f'), 'x');
      },
      'TOO_LARGE',
      `1026 bytes; the limit is ${LIMITS.keyBytesMax}`,
    ],
  ])('writes nothing when there is %s', async (_what, spoil, code, part) => {
    const folder = makeTree();
    spoil(folder);
    const ended = await rig.cli(['kv', 'import', folder, '--output', 'json']);
    expect(ended.status).toBe(1);
    expect(errorOf(ended).code).toBe(code);
    expect(errorOf(ended).message).toContain(part);
    expect(rig.node.state.items.size).toBe(0);
  });

  it.skipIf(process.getuid?.() === 0)('writes nothing when a file is unreadable (not as root)', async () => {
    const folder = makeTree();
    writeFileSync(join(folder, 'z'), 'x');
    chmodSync(join(folder, 'z'), 0);
    const ended = await rig.cli(['kv', 'import', folder, '--output', 'json']);
    expect(errorOf(ended).code).toBe('FILE_UNREADABLE');
    expect(rig.node.state.items.size).toBe(0);
  });

  it('refuses what is no directory', async () => {
    for (const path of [rig.path('none'), rig.path('context.json')]) {
      const ended = await rig.cli(['kv', 'import', path, '--output', 'json']);
      expect(ended.status).toBe(1);
      expect(errorOf(ended)).toMatchObject({ code: 'FILE_UNREADABLE' });
    }
  });

  it('keeps at most 64 writes in flight, and says how many keys were written when it is interrupted', async () => {
    const folder = rig.path('many');
    mkdirSync(folder);
    for (let i = 0; i < 200; i += 1) writeFileSync(join(folder, String(i)), 'x');
    rig.node.fail('transact', { when: 'before', error: 'never answers', count: 64 });
    const interruption = new AbortController();
    const words = ['kv', 'import', folder, '--timeout', '500ms', '--output', 'json'];
    const ended = rig.cli(words, { interrupted: interruption.signal });
    await expect.poll(() => rig.node.requests.length).toBe(64);
    interruption.abort();
    const { status, stdout } = await ended;
    expect(status).toBe(1);
    expect(stdout).toHaveLength(0);
    expect(errorOf(await ended).message).toContain('0 of 200 keys were written');
    expect(rig.node.requests.length).toBe(64);
  });

  it('says how many keys were written when a write is refused', async () => {
    const folder = makeTree();
    rig.node.fail('transact', { when: 'before', error: new HoldfastError('NO_SPACE', 'the disk is full') });
    const ended = await rig.cli(['kv', 'import', folder, '--output', 'json']);
    expect(ended.status).toBe(1);
    expect(errorOf(ended)).toMatchObject({ code: 'NO_SPACE' });
    expect(errorOf(ended).message).toMatch(/^the disk is full; [0-4] of 5 keys were written$/);
  });
});

describe('kv export', () => {
  it('shows one revision, whatever is written meanwhile', async () => {
    await rig.store({ a: 'old', b: 'old' });
    let reads = 0;
    rig.node.beforeRange = () => {
      reads += 1;
      if (reads === 2) void rig.store({ a: 'new', c: 'new' });
    };
    const ended = await rig.cli(['kv', 'export', rig.path('out'), '--output', 'json']);
    expect(json(ended)).toMatchObject({ keys: 2, revision: 2 });
    expect([...filesIn(rig.path('out'))]).toEqual([
      ['a', 'old'],
      ['b', 'old'],
    ]);
  });

  it.each<[string, Record<string, string>, string]>([
    ['..', { 'a/../b': 'x' }, 'segment ..'],
    ['.', { './a': 'x' }, 'segment .'],
    ['an absolute name', { '/etc/x': 'x' }, 'begins or ends with /'],
    ['an empty segment', { 'a//b': 'x' }, 'holds //'],
    ['a folder', { 'a/': 'x' }, 'ends with /'],
    ['a zero byte', { 'a\0b': 'x' }, 'zero byte'],
    ['a segment over 255 bytes', { ['s'.repeat(256)]: 'x' }, 'over 255 bytes'],
    ['file and folder', { a: 'x', 'a-b': 'x', 'a/b/c': 'x' }, 'other keys make it a folder'],
  ])('refuses %s before anything is written', async (_what, items, part) => {
    await rig.store({ good: 'x', ...items });
    const ended = await rig.cli(['kv', 'export', rig.path('out'), '--output', 'json']);
    expect(ended.status).toBe(1);
    expect(errorOf(ended).code).toBe('INVALID_ARGUMENT');
    expect(errorOf(ended).message).toContain(part);
    expect(readdirSync(rig.folder)).toEqual(['context.json']);
  });

  it('refuses a key that is the whole prefix', async () => {
    await rig.store({ 'p/': 'x', 'p/a': 'y' });
    const ended = await rig.cli(['kv', 'export', rig.path('out'), '--prefix', 'p/', '--output', 'json']);
    expect(errorOf(ended).message).toContain('nothing is left of it');
  });

  it('refuses a directory that is not empty, and touches nothing in it', async () => {
    await rig.store({ a: 'new' });
    mkdirSync(rig.path('out'));
    writeFileSync(rig.path('out/a'), 'mine');
    const ended = await rig.cli(['kv', 'export', rig.path('out'), '--output', 'json']);
    expect(ended.status).toBe(1);
    expect(errorOf(ended).message).toContain('is not empty');
    expect([...filesIn(rig.path('out'))]).toEqual([['a', 'mine']]);
  });

  it.each<[string, (stop: AbortController) => void]>([
    [
      'the store no longer answers',
      () => rig.node.fail('range', { when: 'before', error: new HoldfastError('COMPACTED', 'gone') }),
    ],
    ['it is interrupted', (stop) => stop.abort()],
  ])('leaves nothing behind when %s in the middle', async (_what, spoil) => {
    const keys = Array.from({ length: LIMITS.pageKeysMax + 1 }, (_, i) => `d${i % 7}/k${i}`);
    await rig.store(Object.fromEntries(keys.map((key) => [key, 'x'])));
    const interruption = new AbortController();
    let reads = 0;
    rig.node.beforeRange = () => {
      reads += 1;
      // Two pages of names, one page of values.
      if (reads === 4) spoil(interruption);
    };
    mkdirSync(rig.path('out'));
    const ended = await rig.cli(['kv', 'export', rig.path('out')], { interrupted: interruption.signal });
    expect(ended.status).toBe(1);
    expect(reads).toBe(4);
    expect(readdirSync(rig.path('out'))).toEqual([]);
  });
});
