import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runHere, spawnCli } from './rig.ts';

let folder: string;
const at = (name: string) => join(folder, name);
const node = () =>
  [
    ['--data-dir', at('data')],
    ['--control-key-path', at('control.json')],
    ['--jwt-secret-path', at('jwt.json')],
    ['--listen-api', '127.0.0.1:1'],
    ['--listen-peer', '127.0.0.1:2'],
  ].flat();
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-files-'));
  writeFileSync(at('file'), '');
});
afterEach(() => rmSync(folder, { recursive: true }));

describe('a file that the system refuses', () => {
  it('for the context of init: nothing is made', async () => {
    const ended = await runHere(['init', ...node(), '--context-file', join(at('file'), 'context.json')]);
    expect(ended.status).toBe(1);
    expect(ended.stderr).toMatch(/file.context\.json cannot be read \(FILE_UNREADABLE\)\nhint: /);
    expect([at('data'), at('control.json'), at('jwt.json')].filter((path) => existsSync(path))).toEqual([]);
  });

  it('among those of a node: is named, and is no defect', async () => {
    await runHere(['init', ...node(), '--context-file', at('context.json')]);
    rmSync(join(at('data'), 'keyring'));
    mkdirSync(join(at('data'), 'keyring'));
    const ended = await runHere(['server', ...node()]);
    expect(ended.status).toBe(1);
    expect(ended.stderr).toMatch(/EISDIR \(FILE_UNREADABLE\)\nhint: /);
  });

  it('under a local cluster: is named', async () => {
    const ended = await runHere(['dev', '--dir', join(at('file'), 'dev')]);
    expect(ended.status).toBe(1);
    expect(ended.stderr).toMatch(/ENOTDIR \(FILE_UNREADABLE\)\nhint: /);
  });
});

describe('a local cluster', () => {
  it('that cannot be made ends as the command does that makes it', async () => {
    const ended = await spawnCli(['dev', '--dir', at('dev'), '--encryption', 'maybe'], {}).ended;
    expect(ended.status).toBe(2);
    expect(ended.stderr).toContain('holdfast init: ');
    expect(ended.stderr).toMatch(/ \(CONFIG_INVALID\)\nhint: /);
  });
});
