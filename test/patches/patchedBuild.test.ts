import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ROOT } from '../tidy/sourceTree.ts';
import { applyPatches, buildPatched, checkPatches, PatchError, type SourcePatch } from './patchedBuild.ts';

let dir: string;
let entry: string;

beforeAll(() => {
  mkdirSync(path.join(ROOT, '.rig/patched'), { recursive: true });
  dir = mkdtempSync(path.join(ROOT, '.rig/patched/test-'));
  entry = path.join(dir, 'entry.ts');
  writeFileSync(
    entry,
    `import { writeU64 } from '../../../src/base/bytes.ts';
import { PROTO_FOLDER } from '../../../src/proto/registry.ts';
const bytes: Uint8Array = new Uint8Array(8);
writeU64(bytes, 258, 0);
const text = bytes.join();
process.stdout.write(JSON.stringify({ text, proto: PROTO_FOLDER }));\n`,
  );
});

afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** A change of what the program above says. */
const LAST_BYTE: SourcePatch = {
  name: 'last byte',
  file: 'src/base/bytes.ts',
  find: 'writeU32(target, value % TWO_32, offset + 4);',
  replace: 'writeU32(target, (value % TWO_32) + 1, offset + 4);',
};

async function build(patches: readonly SourcePatch[], name: string): Promise<string> {
  const outfile = path.join(dir, name);
  await buildPatched({ entry, patches, outfile });
  return outfile;
}

async function outputOf(patches: readonly SourcePatch[], name: string): Promise<unknown> {
  const outfile = await build(patches, name);
  return JSON.parse(execFileSync(process.execPath, [outfile], { encoding: 'utf8' }));
}

describe('a patched build', () => {
  it('without patches does what the sources say, and finds what lies beside them', async () => {
    expect(await outputOf([], 'plain.mjs')).toEqual({
      text: '0,0,0,0,0,0,1,2',
      proto: path.join(ROOT, 'proto'),
    });
  });

  it('with a patch behaves as the patch says', async () => {
    expect(await outputOf([LAST_BYTE], 'patched.mjs')).toMatchObject({ text: '0,0,0,0,0,0,1,3' });
  });

  it('is the same program when a patch changes nothing', async () => {
    const nothing = { ...LAST_BYTE, replace: LAST_BYTE.find };
    const [plain, same] = [await build([], 'a/main.mjs'), await build([nothing], 'b/main.mjs')];
    expect(readFileSync(same, 'utf8')).toBe(readFileSync(plain, 'utf8'));
  });

  it.each<[string, Partial<SourcePatch>, string]>([
    ['whose text is gone', { find: 'view.setUint99(' }, 'its text is not there'],
    ['whose text occurs twice', { find: 'writeU32(target, ' }, 'its text occurs more than once'],
    ['whose text overlaps itself', { find: '  ' }, 'its text occurs more than once'],
    ['without a text', { find: '' }, 'an empty text cannot be found'],
    ['of a file that does not exist', { file: 'src/base/gone.ts' }, 'is not part of'],
    ['of a file that the program does not have', { file: 'src/base/clock.ts' }, 'is not part of'],
    ['of a file outside src', { file: 'src/../test/a.ts' }, 'is not a path under src/'],
    ['that breaks the syntax', { replace: 'view.(' }, 'Expected identifier'],
  ])('fails with a patch %s', async (_what, change, reason) => {
    const built = build([{ ...LAST_BYTE, ...change }], 'refused.mjs');
    await expect(built).rejects.toThrow(PatchError);
    await expect(built).rejects.toThrow(reason);
  });

  it('fails when two patches have one name, and outside the checkout', async () => {
    await expect(build([LAST_BYTE, LAST_BYTE], 'refused.mjs')).rejects.toThrow('another one has this name');
    await expect(buildPatched({ entry, patches: [], outfile: '/elsewhere/main.mjs' })).rejects.toThrow(
      'lies outside the checkout',
    );
  });
});

describe('patches of one file', () => {
  const at = (name: string, find: string, replace: string): SourcePatch => ({
    name,
    file: 'src/a.ts',
    find,
    replace,
  });

  it('are each found in the text as it was', () => {
    expect(applyPatches('one two three', [at('b', 'two', 'one'), at('a', 'one', 'two')])).toBe(
      'two one three',
    );
  });

  it('may not touch each other', () => {
    expect(() => applyPatches('one two three', [at('a', 'one two', ''), at('b', 'two', '')])).toThrow(
      'patch b: overlaps another',
    );
  });
});

it('a table of patches can be checked without a build', async () => {
  expect(await checkPatches([LAST_BYTE])).toEqual([]);
  expect(await checkPatches([LAST_BYTE, { ...LAST_BYTE, name: 'gone', find: 'nowhere' }])).toEqual([
    'patch gone: its text is not there in src/base/bytes.ts',
  ]);
});
