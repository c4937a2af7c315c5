import { describe, expect, test } from 'vitest';
import { ManualClock } from '../../../src/base/clock.ts';
import { HoldfastError } from '../../../src/base/errors.ts';
import type { NodeId } from '../../../src/base/ids.ts';
import { LIMITS } from '../../../src/base/limits.ts';
import { silentLogger } from '../../../src/base/logger.ts';
import { polled, type Scheduler, systemScheduler } from '../../../src/base/scheduler.ts';
import { ZERO_HASH } from '../../../src/replication/raft/entryHash.ts';
import type { Configuration, SnapshotMetadata } from '../../../src/replication/raft/types.ts';
import { Applier } from '../../../src/replication/raftLog/applier.ts';
import { SnapshotInstaller } from '../../../src/replication/raftLog/snapshotInstaller.ts';
import { SnapshotPull } from '../../../src/replication/raftLog/snapshotPulling.ts';
import type { StateMachine, StateSnapshot } from '../../../src/replication/replicatedLog.ts';
import type { PeerTransport } from '../../../src/replication/transport/types.ts';

const LEADER = '0000000000000001' as NodeId;
const OTHER = '0000000000000002' as NodeId;

/** What a node with a state at 5 does with a snapshot of the leader's at `index`. */
function installing({ index, voters = [LEADER] }: { index: number; voters?: readonly NodeId[] }) {
  const configuration: Configuration = {
    voters,
    votersOutgoing: [],
    learners: [],
    learnersNext: [],
    autoLeave: false,
  };
  const happened: string[] = [];
  const applier = new Applier({
    clock: new ManualClock(),
    sliceMs: 10,
    applied: 5,
    configuration,
    apply: (entry) => happened.push(`applied ${entry.index}`),
  });
  const metadata: SnapshotMetadata = { index, term: 1, hash: ZERO_HASH, configuration };
  const snapshot: StateSnapshot = {
    metadata,
    keyring: new Uint8Array(0),
    rows: async function* () {},
    close: async () => void happened.push('closed'),
  };
  const transport: Partial<PeerTransport> = { pullSnapshot: async () => snapshot };
  const stateMachine: Partial<StateMachine> = {
    installSnapshot: async () => void happened.push('installed'),
  };
  const installer = new SnapshotInstaller({
    transport: transport as PeerTransport,
    stateMachine: stateMachine as StateMachine,
    applier,
    logger: silentLogger,
    scheduler: systemScheduler,
    onInstalled: () => happened.push('told'),
    onFailed: (error) => happened.push(error.message),
  });
  return { installer, applier, happened };
}

async function turns(): Promise<void> {
  for (let turn = 0; turn < 5; turn += 1) await polled(systemScheduler);
}

describe('a snapshot that was pulled', () => {
  test.each([
    { index: 6, happens: ['installed', 'closed', 'told'] },
    { index: 5, happens: ['closed', 'told'] },
    { index: 4, happens: ['closed', 'told'] },
    { index: 5, voters: [], happens: ['installed', 'closed', 'told'] },
  ])('takes the place of an older state only (I20): $index, $voters', async ({ happens, ...what }) => {
    const { installer, happened } = installing(what);
    installer.want({ from: LEADER, index: what.index });
    await turns();
    expect(happened).toEqual(happens);
  });

  test('waits until what was handed out is applied (I20)', async () => {
    const { installer, applier, happened } = installing({ index: 9 });
    const entry = { index: 6, term: 1, type: 'empty', payload: new Uint8Array(0), hash: ZERO_HASH } as const;
    applier.add([entry]);
    installer.want({ from: LEADER, index: 9 });
    await turns();
    expect(happened).toEqual([]);
    applier.slice();
    await turns();
    expect(happened).toEqual(['applied 6', 'installed', 'closed', 'told']);
  });
});

/** A leader that lives, gives one portion of rows, and then nothing. */
function stuck() {
  const waiting: { delayMs: number; run: () => void }[] = [];
  const happened: string[] = [];
  const configuration: Configuration = {
    voters: [LEADER],
    votersOutgoing: [],
    learners: [],
    learnersNext: [],
    autoLeave: false,
  };
  let isStuck = true;
  let failure: HoldfastError | null = null;
  const snapshotOf = (from: NodeId): StateSnapshot => ({
    metadata: { index: 9, term: 1, hash: ZERO_HASH, configuration },
    keyring: new Uint8Array(0),
    rows: async function* () {
      yield [];
      if (isStuck) await new Promise<never>(() => undefined);
    },
    close: async () => void happened.push(`closed ${Number(from)}`),
  });
  const transport: Partial<PeerTransport> = {
    pullSnapshot: async ({ from }) => {
      happened.push(`pulled ${Number(from)}`);
      return snapshotOf(from);
    },
  };
  const stateMachine: Partial<StateMachine> = {
    installSnapshot: async (snapshot) => {
      if (failure !== null) throw failure;
      for await (const portion of snapshot.rows()) happened.push(`rows ${portion.length}`);
      happened.push('installed');
    },
  };
  const scheduler: Scheduler = {
    ...systemScheduler,
    after: (delayMs, run) => {
      const timer = { delayMs, run };
      waiting.push(timer);
      return { stop: () => void waiting.splice(waiting.indexOf(timer), 1) };
    },
  };
  const installer = new SnapshotInstaller({
    transport: transport as PeerTransport,
    stateMachine: stateMachine as StateMachine,
    applier: installing({ index: 9 }).applier,
    logger: silentLogger,
    scheduler,
    onInstalled: () => happened.push('told'),
    onFailed: ({ code }) => happened.push(code),
  });
  return {
    installer,
    happened,
    waiting,
    goOn: () => {
      isStuck = false;
      failure = null;
    },
    fail: (error: HoldfastError) => {
      failure = error;
    },
  };
}

describe('a snapshot whose rows do not come', () => {
  const STUCK = ['pulled 1', 'rows 0'];

  test('is given up in time, not after all that a whole one may take', async () => {
    const { installer, happened, waiting } = stuck();
    installer.want({ from: LEADER, index: 9 });
    await turns();
    expect(happened).toEqual(STUCK);
    expect(waiting.map(({ delayMs }) => delayMs)).toEqual([LIMITS.snapshotChunkDeadlineMs]);
    waiting[0]?.run();
    await turns();
    expect(happened).toEqual([...STUCK, 'closed 1', 'UNAVAILABLE']);
    expect(waiting).toEqual([]);
  });

  test('is given up at once when another node leads, and taken from that one', async () => {
    const { installer, happened, goOn } = stuck();
    installer.want({ from: LEADER, index: 9 });
    await turns();
    installer.want({ from: LEADER, index: 10 });
    await turns();
    expect(happened).toEqual(STUCK);
    goOn();
    installer.want({ from: OTHER, index: 9 });
    await turns();
    expect(happened).toEqual([...STUCK, 'closed 1', 'pulled 2', 'rows 0', 'installed', 'closed 2', 'told']);
  });

  test('is given up when the node stops', async () => {
    const { installer, happened } = stuck();
    installer.want({ from: LEADER, index: 9 });
    await turns();
    await installer.stop();
    expect(happened).toEqual([...STUCK, 'closed 1', 'UNAVAILABLE']);
  });
});

test('a snapshot for which there is no room is asked for again after a while, or when another node leads', async () => {
  const { installer, happened, waiting, fail, goOn } = stuck();
  fail(new HoldfastError('NO_SPACE', 'full'));
  installer.want({ from: LEADER, index: 9 });
  await turns();
  expect(happened).toEqual(['pulled 1', 'closed 1']);
  expect(waiting.map(({ delayMs }) => delayMs)).toEqual([LIMITS.snapshotSpacePauseMs]);
  waiting.splice(0)[0]?.run();
  await turns();
  expect(happened.splice(0)).toEqual(['pulled 1', 'closed 1', 'NO_SPACE']);
  installer.want({ from: LEADER, index: 9 });
  await turns();
  goOn();
  installer.want({ from: OTHER, index: 9 });
  await turns();
  expect(happened).toEqual(['pulled 1', 'closed 1', 'pulled 2', 'rows 0', 'installed', 'closed 2', 'told']);
});

test("what fails after it was given up is nobody's error, and ends no process", async () => {
  const pull = new SnapshotPull(systemScheduler);
  pull.abort(new HoldfastError('UNAVAILABLE', 'another node leads now'));
  const unhandled: unknown[] = [];
  const hear = (thrown: unknown): void => void unhandled.push(thrown);
  process.on('unhandledRejection', hear);
  await expect(pull.inTime(Promise.reject(new Error('late')))).rejects.toThrow('another node leads now');
  await turns();
  process.off('unhandledRejection', hear);
  expect(unhandled).toEqual([]);
});
