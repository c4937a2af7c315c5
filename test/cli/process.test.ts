import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CliRig, spawnCli } from './rig.ts';

let rig: CliRig;
beforeAll(async () => {
  rig = await CliRig.create();
});
afterAll(() => rig.close());

const start = (...words: string[]) => spawnCli(words, rig.environment);

describe('the program as a process', () => {
  it('ends with 0, 1 or 2', async () => {
    const [version, missing, usage] = await Promise.all([
      start('version').ended,
      start('kv', 'get', 'none').ended,
      start('nonsense').ended,
    ]);
    expect([version.status, missing.status, usage.status]).toEqual([0, 1, 2]);
    expect(missing.stderr).toBe(
      'error: there is no key none (NOT_FOUND)\nhint: holdfast kv list shows the keys\n',
    );
  });

  it('ends quietly with 0 when nobody reads its output any more', async () => {
    await rig.store(Object.fromEntries(Array.from({ length: 900 }, (_, i) => [`k${i}`, 'v'.repeat(2_000)])));
    const { child, ended } = start('kv', 'list', '--output', 'json');
    child.stdout.once('data', () => child.stdout.destroy());
    const { status, stderr } = await ended;
    expect(status).toBe(0);
    expect(stderr).toBe('');
  });

  it('ends a watch with 0 on Ctrl-C', async () => {
    const { child, ended, stderr } = start('kv', 'watch');
    await expect.poll(stderr, { timeout: 20_000 }).toContain('Ctrl-C ends');
    child.kill('SIGINT');
    expect(await ended).toMatchObject({ status: 0 });
  });

  it('says how many keys an import has written when Ctrl-C ends it', async () => {
    const folder = rig.path('many');
    mkdirSync(folder);
    for (let i = 0; i < 300; i += 1) writeFileSync(join(folder, String(i).padStart(3, '0')), 'x');
    const before = rig.node.requests.length;
    const { child, ended } = start('kv', 'import', folder, '--timeout', '1s', '--prefix', 'many/');
    rig.node.onRequest = () => {
      const sent = rig.node.requests.length - before;
      if (sent === 100) rig.node.fail('transact', { when: 'before', error: 'never answers', count: 200 });
      if (sent === 120) child.kill('SIGINT');
    };
    const { status, stderr, stdout } = await ended;
    expect(status).toBe(1);
    expect(stdout).toHaveLength(0);
    const [, written] = /; (\d+) of 300 keys were written/.exec(stderr) ?? [];
    const stored = [...rig.node.state.items.keys()].filter((key) => key.startsWith('many/'));
    expect(stored).toHaveLength(Number(written));
    expect(stored.length).toBeGreaterThan(50);
    expect(stored.length).toBeLessThan(300);
  });
});
