import { appendFileSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { exportLine } from '../../src/audit/exportFormat.ts';
import { chained } from '../../src/audit/record/chain.ts';
import { signCheckpoint } from '../../src/audit/record/checkpoint.ts';
import { FileSink } from '../../src/audit/sink/fileSink.ts';
import type { Sink } from '../../src/audit/sink/sink.ts';
import { ManualClock, systemClock } from '../../src/base/clock.ts';
import { HoldfastError } from '../../src/base/errors.ts';
import { newClusterId } from '../../src/base/ids.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { SeededRandom } from '../../src/base/random.ts';
import { systemScheduler } from '../../src/base/scheduler.ts';
import { AuditSink } from '../../src/node/auditSink.ts';
import { AuditSinkCursorFile } from '../../src/node/auditSinkCursor.ts';
import { createAuthority } from '../../src/trust/authority.ts';
import { recordsUpTo } from '../audit/sink/records.ts';
import { command, NODE, placeAt, put, StoreRig, sealerOf } from '../store/storeRig.ts';
import { FakeLogger } from './nodeFolder.ts';
import { until } from './until.ts';

/* The sink over a real state on disk. */
const DAY_MS = 86_400_000;
let folder: string;
let path: string;
let source: StoreRig;
let target: StoreRig;
let sinks: AuditSink[];
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-sink-'));
  path = join(folder, 'audit.jsonl');
  const sealer = sealerOf();
  source = await StoreRig.create({ sealer });
  target = await StoreRig.create({ sealer });
  sinks = [];
});
afterEach(async () => {
  for (const sink of sinks) await sink.stop();
  await source.destroy();
  await target.destroy();
  rmSync(folder, { recursive: true });
});

function fileSink(): FileSink {
  const destination = { kind: 'file', path } as const;
  const rotateBytes = LIMITS.auditSinkRotateBytes;
  return new FileSink({
    destination,
    rotateBytes,
    clusterId: 'c1',
    clock: systemClock,
    logger: new FakeLogger(),
  });
}

function started(sink: Sink = fileSink()): AuditSink {
  const logger = new FakeLogger();
  const cursorFile = new AuditSinkCursorFile({ path: join(folder, 'cursor'), destination: path, logger });
  const shown = { kind: 'file', host: '' };
  const { store } = target;
  const one = new AuditSink({
    store,
    sink,
    shown,
    cursorFile,
    clock: systemClock,
    scheduler: systemScheduler,
    logger,
  });
  sinks.push(one);
  one.start();
  return one;
}

const caughtUp = (one: AuditSink): Promise<void> =>
  until(() => {
    const { deliveredSequence, behind } = one.status;
    return behind === 0 && deliveredSequence === target.store.audit.head.sequence;
  }, 'the sink has not caught up');
const sequences = (): readonly number[] =>
  readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('{"sequence"'))
    .map((line) => (JSON.parse(line) as { sequence: number }).sequence);
const upTo = (last: number, first = 1): readonly number[] =>
  Array.from({ length: last - first + 1 }, (_, at) => first + at);

it('stops where somebody has appended a chain of his own, says so, and leaves out nothing', async () => {
  for (let round = 0; round < 3; round += 1) target.run(put(`k${round}`));
  await target.store.flushed();
  const first = started();
  await caughtUp(first);
  await first.stop();
  const delivered = first.status.deliveredSequence;
  const honest = readFileSync(path, 'utf8');
  const { hash } = target.store.audit.head;
  const place = { sequence: delivered + 1, timeMs: 1, index: 1, previousHash: hash };
  const forged = chained(recordsUpTo(4), place);
  appendFileSync(path, `${forged.map(exportLine).join('\n')}\n`);
  const second = started();
  for (let round = 0; round < 8; round += 1) {
    target.run(put('later'));
    await target.store.flushed();
    await until(() => second.status.errorCode === 'AUDIT_TAMPERED', 'nothing is said');
    expect(second.status.deliveredSequence).toBe(delivered);
  }
  await second.stop();
  expect(readFileSync(path, 'utf8').startsWith(honest)).toBe(true);
  renameSync(path, `${path}.moved`);
  const third = started();
  await caughtUp(third);
  expect(sequences()).toEqual(upTo(delivered + 8, delivered + 1));
  expect([third.status.lost, third.warnings]).toEqual([0, []]);
});

it('goes on when a snapshot takes the place of the state', async () => {
  for (const rig of [source, target]) for (let round = 0; round < 5; round += 1) rig.run(put(`k${round}`));
  const sink = started();
  await caughtUp(sink);
  for (let round = 0; round < 700; round += 1) source.run(put('later'));
  await source.store.flushed();
  const snapshot = await source.store.openSnapshot();
  const { index } = source.store.applied;
  const expected = { ...placeAt(index), configuration: source.store.configuration };
  await target.store.installSnapshot({ rows: snapshot.rows(), expected });
  await snapshot.close();
  target.run(put('last'));
  await caughtUp(sink);
  expect(target.store.audit.head.sequence).toBe(706);
  expect(sequences()).toEqual(upTo(706));
  expect([sink.status.lost, sink.warnings]).toEqual([0, []]);
});

it('counts what retention has taken away, and goes on behind it', async () => {
  const random = new SeededRandom(3);
  const authority = await createAuthority({
    clusterId: newClusterId(random),
    clock: new ManualClock(),
    random,
  });
  const { certificate, privateKey } = authority;
  const addresses = { peerAddress: 'h:1', apiAddress: 'h:2' };
  const member = { nodeId: NODE.name, name: 'n1', ...addresses, wantedRole: 'voter' };
  const bootstrap = { authorityCertificate: certificate, authorityPrivateKey: privateKey, member };
  target.apply(command({ bootstrap }, NODE));
  target.apply(command({ setAuditSettings: { settings: { reads: [], retentionMs: DAY_MS } } }));
  target.timeMs += LIMITS.auditShorteningDelayMs;
  target.run(put('a'));
  await target.store.flushed();
  const first = started();
  await caughtUp(first);
  await first.stop();
  const delivered = target.store.audit.head.sequence;
  for (let day = 0; day < 5; day += 1) {
    target.timeMs += DAY_MS;
    target.run(put('a'));
  }
  const gone = delivered + 3;
  const { hash, timeMs } = (await target.auditRecords(gone))[0] ?? { hash: Buffer.alloc(32), timeMs: 0 };
  const checkpoint = { sequence: gone, hash, timeMs };
  const signature = signCheckpoint(checkpoint, privateKey);
  target.apply(command({ checkpointAudit: { checkpoint: { ...checkpoint, signature } } }, NODE));
  expect(target.store.audit.rules.checkpoint?.sequence).toBe(gone);
  // Known while the sink is still away.
  const away = fileSink();
  const failing: Sink = {
    reached: () => away.reached(),
    deliver: () => Promise.reject(new HoldfastError('UNAVAILABLE', 'away')),
    close: () => away.close(),
  };
  const second = started(failing);
  await until(() => second.status.lost === 3, 'nothing is said');
  await second.stop();
  const third = started();
  await caughtUp(third);
  expect(third.status.lost).toBe(3);
  const last = target.store.audit.head.sequence;
  expect(sequences()).toEqual(upTo(last, gone + 1));
});
