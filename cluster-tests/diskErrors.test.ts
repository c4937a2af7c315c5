import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, it } from 'vitest';
import { LocalCluster, newNode } from './localCluster.ts';
import { until } from './until.ts';

const PRELOAD = fileURLToPath(new URL('failingDisk/preload.mjs', import.meta.url));
const WITHIN_MS = 30_000;

let cluster: LocalCluster;
afterEach(() => cluster.destroy());

/** One node, whose disk fails as soon as a file is there. */
async function form(what: string): Promise<{ fail: () => void; mend: () => void }> {
  let trigger = '';
  cluster = await LocalCluster.form(1, {
    newNode: async (dir, name) => {
      trigger = join(dir, 'fail');
      const environment = { FAIL_WHAT: what, FAIL_WHEN: trigger };
      return {
        ...(await newNode(dir, name)),
        launch: { nodeArguments: ['--import', PRELOAD], environment },
      };
    },
  });
  return { fail: () => writeFileSync(trigger, ''), mend: () => rmSync(trigger) };
}

async function untilStopped(): Promise<void> {
  await until(
    WITHIN_MS,
    () => `it stops; the log says:\n${cluster.lastWords()}`,
    () => !cluster.isRunning('n1'),
  );
}

it('a write of the log that fails ends the process, and nothing is acknowledged after it', async () => {
  const { fail, mend } = await form('log write');
  const client = await cluster.client(['n1'], 2_000);
  const acknowledged: number[] = [];
  let failedAt = Number.POSITIVE_INFINITY;
  for (let i = 0; cluster.isRunning('n1') && i < 10_000; i += 1) {
    if (i === 50) fail();
    try {
      await client.put(`key/${i}`, `${i}`);
      acknowledged.push(i);
    } catch {
      failedAt = Math.min(failedAt, i);
    }
  }
  await client.close();
  await untilStopped();
  expect(await cluster.stop('n1')).toBe(1);
  expect(readFileSync(cluster.node('n1').logPath, 'utf8')).toContain('DISK_FAILED');
  expect(failedAt).toBeGreaterThanOrEqual(50);
  expect(acknowledged.every((i) => i < failedAt)).toBe(true);
  mend();
  cluster.start('n1');
  const again = await cluster.client(['n1'], WITHIN_MS);
  for (const i of acknowledged) expect((await again.get(`key/${i}`)).item?.value.toString()).toBe(`${i}`);
  await again.close();
}, 120_000);

it.each(['log read', 'keyring read'])(
  'a %s that fails at the start ends the process with a message, and it starts when the disk is well',
  async (what) => {
    const { fail, mend } = await form(what);
    await cluster.stop('n1');
    fail();
    cluster.start('n1');
    await untilStopped();
    expect(await cluster.stop('n1')).toBe(1);
    expect(readFileSync(cluster.node('n1').logPath, 'utf8')).toMatch(/EIO|DISK_FAILED|FILE_UNREADABLE/);
    mend();
    cluster.start('n1');
    await cluster.untilVoters(1);
  },
  120_000,
);
