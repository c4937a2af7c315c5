import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ROOT } from '../tidy/sourceTree.ts';
import { armed } from './failpointSpecification.ts';
import {
  buildFailpointProgram,
  FAILPOINT_PATCHES,
  type FailpointProgram,
  SMALL_WINDOWS,
} from './failpoints.ts';
import { checkPatches } from './patchedBuild.ts';

let dir: string;
let built: FailpointProgram;

beforeAll(async () => {
  mkdirSync(path.join(ROOT, '.rig/patched'), { recursive: true });
  dir = mkdtempSync(path.join(ROOT, '.rig/patched/test-'));
  built = await buildFailpointProgram({ folder: dir });
});

afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** A program that passes the failpoint `here` again and again. */
function passing(times: number, environment: NodeJS.ProcessEnv): ChildProcess {
  const script = `for (let i = 1; i <= ${times}; i += 1) {
    await globalThis.__failpoint?.('here', true);
    process.stdout.write(i + ' ');
    await new Promise((done) => setTimeout(done, 5));
  }`;
  return spawn(process.execPath, ['--import', built.preload, '--input-type=module', '-e', script], {
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

async function endOf(child: ChildProcess): Promise<{ signal: string | null; said: string; error: string }> {
  let said = '';
  let error = '';
  child.stdout?.on('data', (text: Buffer) => (said += text.toString()));
  child.stderr?.on('data', (text: Buffer) => (error += text.toString()));
  const [, signal] = (await once(child, 'close')) as [number | null, string | null];
  return { signal, said: said.trim(), error };
}

describe('failpoints', () => {
  it('are where the sources have their places', async () => {
    expect(await checkPatches([...FAILPOINT_PATCHES, ...SMALL_WINDOWS])).toEqual([]);
  });

  it('leave a program that runs', () => {
    const said = execFileSync(process.execPath, ['--import', built.preload, built.program, 'version'], {
      encoding: 'utf8',
    });
    const { version } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8')) as {
      version: string;
    };
    expect(said).toContain(version);
  });

  it('end a process at the time that was asked for', async () => {
    const { signal, said } = await endOf(passing(10, { HOLDFAST_FAILPOINTS: 'here:exit@4' }));
    expect(signal).toBe('SIGKILL');
    expect(said).toBe('1 2 3');
  });

  it('throw', async () => {
    const { said, error } = await endOf(passing(3, { HOLDFAST_FAILPOINTS: 'here:error@2' }));
    expect(said).toBe('1');
    expect(error).toContain('failpoint here');
  });

  it('are armed in a process that runs, by a file', async () => {
    const file = path.join(dir, 'armed');
    const child = passing(100_000, { HOLDFAST_FAILPOINTS_FILE: file });
    if (child.stdout !== null) await once(child.stdout, 'data');
    writeFileSync(file, 'here:stall:1,elsewhere:exit');
    const end = endOf(child);
    while (!readFileSync(`${file}.acts`, { encoding: 'utf8', flag: 'a+' }).includes('here stall')) {
      await once(child.stdout ?? child, 'data');
    }
    expect(readFileSync(`${file}.armed`, 'utf8')).toBe('here:stall:1,elsewhere:exit');
    writeFileSync(file, 'here:exit');
    expect((await end).signal).toBe('SIGKILL');
    expect(readFileSync(`${file}.acts`, 'utf8')).toMatch(/here exit\n$/);
  });
});

describe('a specification', () => {
  it('names point, action, duration and time', () => {
    expect([...armed('a:exit, b:sleep:500,c:stall:3000@2,d:error@17')]).toEqual([
      ['a', { action: 'exit', durationMs: 0, at: null, passed: 0 }],
      ['b', { action: 'sleep', durationMs: 500, at: null, passed: 0 }],
      ['c', { action: 'stall', durationMs: 3000, at: 2, passed: 0 }],
      ['d', { action: 'error', durationMs: 0, at: 17, passed: 0 }],
    ]);
    expect(armed('').size).toBe(0);
  });

  it.each(['a', 'a:die', 'a:sleep', 'a:exit:3', 'a:exit@', ':exit', 'a:exit@x'])('%s is none', (text) => {
    expect(() => armed(text)).toThrow('not a failpoint');
  });
});
