import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ManualClock } from '../../src/base/clock.ts';
import { writeFileDurably } from '../../src/base/durableFile.ts';
import type { NodeId } from '../../src/base/ids.ts';
import { LIMITS } from '../../src/base/limits.ts';
import type { SealedCodec } from '../../src/envelope/codec.ts';
import { AdminReset } from '../../src/node/adminReset.ts';
import { dataDirectory } from '../../src/node/dataDirectory.ts';
import type { Outcome } from '../../src/proto/storage.ts';
import { type ResetAdmin, resetAdminCodec } from '../../src/proto/users.ts';
import { sealerOf } from '../store/storeRig.ts';
import { ManualScheduler, turns } from './manualScheduler.ts';
import { FakeLogger } from './nodeFolder.ts';
import { until } from './until.ts';

const codec: SealedCodec<ResetAdmin> = {
  encode: resetAdminCodec.encode,
  decode: resetAdminCodec.decode,
  toJson: (value) => value,
  fromJson: (json) => json as ResetAdmin,
};

let root: string;
let scheduler: ManualScheduler;
let reset: AdminReset;
let isAsked: boolean;
let answer: (outcome: Outcome) => void;
beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), 'holdfast-reset-'));
  const directory = dataDirectory(root);
  const sealer = sealerOf();
  const place = { kind: 'file', name: 'admin-reset', generation: 0 } as const;
  const bytes = sealer.seal(codec, { id: 'a', passwordHash: 'b' }, { purpose: 'trust', place });
  await writeFileDurably({ path: directory.adminReset, bytes, mode: 0o600 });
  const clock = new ManualClock();
  scheduler = new ManualScheduler(clock);
  isAsked = false;
  const submit = () => {
    isAsked = true;
    return new Promise<Outcome>((resolve) => (answer = resolve));
  };
  const nodeId = '00000000000000aa' as NodeId;
  const logger = new FakeLogger();
  reset = new AdminReset({ directory, sealer, submit: { submit }, nodeId, clock, scheduler, logger });
  reset.start();
  expect(isAsked).toBe(true);
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** Whether it has stopped by then. */
function stopping(): { isOver: boolean } {
  const stop = { isOver: false };
  void Promise.resolve(reset.stop()).then(() => (stop.isOver = true));
  return stop;
}

it('a stop waits for the reset that is under way', async () => {
  const stop = stopping();
  await turns();
  expect(stop.isOver).toBe(false);
  answer({ replayed: false });
  await until(() => stop.isOver, 'it has stopped');
});

it('a stop does not wait for ever', async () => {
  const stop = stopping();
  await scheduler.advance(LIMITS.requestTimeoutMs);
  expect(stop.isOver).toBe(true);
});
