import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { countStart, startCountPath } from '../../src/trust/startCount.ts';

let dataDir: string;
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'holdfast-starts-'));
});
afterEach(() => rmSync(dataDir, { recursive: true }));

it('counts every start, in a file of its own', async () => {
  expect([await countStart(dataDir), await countStart(dataDir), await countStart(dataDir)]).toEqual([
    1, 2, 3,
  ]);
  const path = startCountPath(dataDir);
  expect(readFileSync(path, 'utf8')).toBe('{"schema":1,"starts":3}\n');
  expect(statSync(path).mode & 0o777).toBe(0o600);
});

it.each([
  ['', 'empty'],
  ['{"schema":1}', 'a field is missing'],
  ['{"schema":2,"starts":3}', 'a schema that is not known'],
  ['{"schema":1,"starts":-1}', 'a count below zero'],
  ['{"schema":1,"starts":1.5}', 'no whole count'],
  ['{"schema":1,"starts":3,"more":1}', 'a field too many'],
])('a file that holds %s is refused, and left as it is: %s', async (content) => {
  writeFileSync(startCountPath(dataDir), content);
  await expect(countStart(dataDir)).rejects.toMatchObject({ code: 'DATA_DIR_INVALID', field: 'data-dir' });
  expect(readFileSync(startCountPath(dataDir), 'utf8')).toBe(content);
});

it('a disk that refuses is said', async () => {
  await expect(countStart(join(dataDir, 'gone'))).rejects.toMatchObject({ code: 'DISK_FAILED' });
});
