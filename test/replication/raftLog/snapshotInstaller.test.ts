import { describe, expect, test } from 'vitest';
import { ManualClock } from '../../../src/base/clock.ts';
import type { NodeId } from '../../../src/base/ids.ts';
import { silentLogger } from '../../../src/base/logger.ts';
import { polled, systemScheduler } from '../../../src/base/scheduler.ts';
import { ZERO_HASH } from '../../../src/replication/raft/entryHash.ts';
import type { Configuration, SnapshotMetadata } from '../../../src/replication/raft/types.ts';
import { Applier } from '../../../src/replication/raftLog/applier.ts';
import { SnapshotInstaller } from '../../../src/replication/raftLog/snapshotInstaller.ts';
import type { StateMachine, StateSnapshot } from '../../../src/replication/replicatedLog.ts';
import type { PeerTransport } from '../../../src/replication/transport/types.ts';

const LEADER = '0000000000000001' as NodeId;

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
