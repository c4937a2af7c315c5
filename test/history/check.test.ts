import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { History, HistoryLine } from '../../cluster-tests/history/types.ts';
import { simulate } from './simulatedRun.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

let dir = '';
beforeEach(() => {
  dir = mkdtempSync(path.join(tmpdir(), 'holdfast-check-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

function linesOf(history: History): readonly HistoryLine[] {
  const events = history.events.map((event) => ({ f: 'event', ...event }) as const);
  const log = history.log === null ? [] : [history.log];
  const digests = ['n1', 'n2'].map((node) => ({ f: 'digest', node, index: 5, rev: 4, digest: 'd' }) as const);
  const note = { f: 'note', at: 1, text: 'a note' } as const;
  return [note, ...history.workloads, ...history.operations, ...events, ...log, ...digests];
}

function check(
  text: string,
): Promise<{ readonly code: number; readonly stdout: string; readonly stderr: string }> {
  const file = path.join(dir, 'history.ndjson');
  writeFileSync(file, text);
  const args = ['--import', 'tsx', 'cluster-tests/history/check.ts', file];
  return new Promise((resolve) => {
    const child = execFile(process.execPath, args, { cwd: ROOT }, (_, stdout, stderr) => {
      resolve({ code: child.exitCode ?? -1, stdout, stderr });
    });
  });
}

const textOf = (history: History) =>
  linesOf(history)
    .map((line) => `${JSON.stringify(line)}\n`)
    .join('');

describe('check FILE', () => {
  it('prints a verdict for each key, and ends with 0 where nothing is wrong', async () => {
    const { code, stdout, stderr } = await check(
      textOf(simulate({ seed: 1, transfers: 0.3, lists: 0.3 }).history),
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    for (const key of ['key/0', 'key/1', 'key/2', 'key/3'])
      expect(stdout).toContain(`ok      linearizability: ${key}`);
    expect(stdout).toContain('ok      sum: sum/*');
    expect(stdout).toContain('ok      list append: list/*');
    expect(stdout).toContain('ok      digests: all nodes');
    expect(stdout).toContain('verdict: ok');
  });

  it('ends with 1 at a violation, and shows it', async () => {
    const { code, stdout } = await check(textOf(simulate({ seed: 1, fault: 'stale read' }).history));
    expect(code).toBe(1);
    expect(stdout).toMatch(/illegal linearizability: key\/\d/);
    expect(stdout).toContain('operations can be put in order');
    expect(stdout).toContain('verdict: illegal');
  });

  it('ends with 2 where there is no verdict, or no history', async () => {
    const { history } = simulate({ seed: 1 });
    const apart: HistoryLine = { f: 'digest', node: 'n2', index: 6, rev: 4, digest: 'e' };
    const undecided = await check(textOf(history) + JSON.stringify(apart));
    expect(undecided).toMatchObject({ code: 2 });
    expect(undecided.stdout).toContain('verdict: unknown');
    const cut = await check(textOf(history).slice(0, -10));
    expect(cut).toMatchObject({ code: 2, stdout: '' });
    expect(cut.stderr).toContain('is no line of a history');
  });
});
