import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { type NodeId, newClusterId, newNodeId } from '../../src/base/ids.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { SeededRandom, systemRandom } from '../../src/base/random.ts';
import { withNewActiveKey, withSetAtIndex } from '../../src/envelope/keyring.ts';
import { sealKeyring } from '../../src/envelope/keyringForm.ts';
import { NodeCore } from '../../src/node/core.ts';
import { keyringPayload, sealBatch, sealForward } from '../../src/node/entryPayload.ts';
import { DATA_FORMAT } from '../../src/node/format.ts';
import { KeyringFile } from '../../src/node/keyringFile.ts';
import type { OpenedNode } from '../../src/node/openNode.ts';
import { NodeStateMachine, type StateMachineParts } from '../../src/node/stateMachine.ts';
import type { Command } from '../../src/proto/storage.ts';
import type { CommittedEntry, ReplicatedLog } from '../../src/replication/replicatedLog.ts';
import { Store } from '../../src/store/store.ts';
import { controlKeyOf, keyringFor, STORE_ID, sealerFor } from '../envelope/fixtures.ts';
import { FakeLogger } from './nodeFolder.ts';
import { refusalOf } from './refusal.ts';

const random = new SeededRandom(11);
const OWN = newNodeId(random);
const OTHER = newNodeId(random);
const KEY = controlKeyOf(1);
const KEYRING = keyringFor('on');
const CONFIGURATION = {
  voters: [OWN],
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
};
const stored = (keyring: typeof KEYRING) => sealKeyring(keyring, KEY, random);

let folder: string;
let store: Store;
let core: NodeCore;
let logger: FakeLogger;
let keyring: KeyringFile;
/** What the disk has at each look; the last one stays. */
let freeBytes: number[];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-machine-'));
  logger = new FakeLogger();
  freeBytes = [0];
  const path = join(folder, 'keyring');
  writeFileSync(path, stored(KEYRING), { mode: 0o600 });
  const sealer = sealerFor(KEYRING);
  store = await Store.create({
    directory: folder,
    sealer,
    onDurable: () => undefined,
    onFatal: (error) => logger.warnings.push(error.message),
  });
  const identity = { clusterId: newClusterId(random), storeId: STORE_ID, nodeId: OWN };
  keyring = new KeyringFile(path, { storeId: STORE_ID, controlKeys: () => [KEY] });
  const opened = { identity, sealer, keyring } as unknown as OpenedNode;
  core = new NodeCore({
    opened,
    store,
    clock: systemClock,
    random: systemRandom,
    logger,
    seeds: [],
    onWrongState: (error) => logger.warnings.push(error.message),
    reserveBytes: 1_000,
    freeBytes: () => Promise.resolve((freeBytes.length > 1 ? freeBytes.shift() : freeBytes[0]) ?? 0),
  });
});
afterEach(async () => {
  await store.close();
  rmSync(folder, { recursive: true });
});

function entryAt(index: number, payload: Uint8Array): CommittedEntry {
  const hash = Buffer.alloc(32, index);
  return { index, term: 1, type: 'normal', payload, hash, change: null, configuration: CONFIGURATION };
}

function writeOf(origin: string): Command {
  const put = { key: Buffer.from('k'), value: Buffer.from('v'), previous: false };
  const principal = { kind: 'client', name: 'ada', address: '' };
  return { origin, sequence: 1, principal, transaction: { compares: [], success: [{ put }], failure: [] } };
}

const LOG = { status: () => ({ durableTerm: 3 }) } as unknown as ReplicatedLog;

describe('a node', () => {
  it('turns writes away when its disk is low, and tells the others so, with the digest of its state', async () => {
    const alone = { voters: [OWN], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };
    const place = { index: 1, term: 1, hash: Buffer.alloc(32, 1) };
    const removed: string[] = [];
    store.apply({ kind: 'configuration', place, configuration: alone, removed, member: null, timeMs: 1 });
    core.connect(LOG);
    expect(core.announcement().lowSpace).toBe(false);
    await core.reserve.check();
    expect(core.announcement().lowSpace).toBe(true);
    await expect(core.submit.submit(writeOf(''), systemClock.monotonicMs() + 1_000)).rejects.toMatchObject({
      code: 'NO_SPACE',
    });
    core.guard.replaced();
    const [checkpoint] = core.announcement().checkpoints;
    expect(checkpoint?.index).toBe(1);
    expect(Buffer.from(checkpoint?.digest ?? '')).toEqual(store.digest);
  });

  it('tells which processes of others it hears, and hears none that others hear another one of', () => {
    core.connect(LOG);
    const [from, nodeId] = ['00000000000000b1', '00000000000000b2'] as [NodeId, NodeId];
    const run = { starts: 4, process: Buffer.alloc(16, 1) };
    core.processes.admit(nodeId, { ...run, term: 3 });
    core.processes.opened(nodeId, run);
    expect(core.announcement()).toMatchObject({ term: 3, processes: [{ nodeId, ...run }] });
    const other = { nodeId, starts: 4, process: Buffer.alloc(16, 2) };
    const announcement = { checkpoints: [], lowSpace: false, stateMissing: false, term: 1 };
    core.announcementHeard({ nodeId: from, announcement: { ...announcement, processes: [other] } });
    expect(core.processes.isHeard(nodeId, run)).toBe(false);
  });

  it('takes nothing more to apply while too much of it waits for the disk', () => {
    const waiting = { unflushedBytes: LIMITS.unflushedBytesMax };
    const machine = new NodeStateMachine({ store: waiting } as unknown as StateMachineParts);
    expect(machine.isBehind()).toBe(false);
    waiting.unflushedBytes += 1;
    expect(machine.isBehind()).toBe(true);
    expect(core.stateMachine.isBehind()).toBe(false);
  });

  it('stops when the others tell of another state, all of them', () => {
    const others = ['00000000000000b1', '00000000000000b2'] as NodeId[];
    const voters = [OWN, ...others];
    const configuration = { voters, votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };
    const place = { index: 1, term: 1, hash: Buffer.alloc(32, 1) };
    store.apply({ kind: 'configuration', place, configuration, removed: [], member: null, timeMs: 1 });
    const checkpoints = [{ index: 1, digest: Buffer.alloc(32, 9), format: DATA_FORMAT }];
    for (const nodeId of others)
      core.announcementHeard({
        nodeId,
        announcement: { checkpoints, lowSpace: false, stateMissing: false, term: 1, processes: [] },
      });
    expect(logger.warnings.join()).toContain('not that of the majority');
  });

  it('gives its state to nobody while another one differs, until that one has none any more', async () => {
    const [nodeId, third] = ['00000000000000b1', '00000000000000b2'] as [NodeId, NodeId];
    const voters = [OWN, nodeId, third];
    const configuration = { voters, votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };
    const place = { index: 1, term: 1, hash: Buffer.alloc(32, 1) };
    store.apply({ kind: 'configuration', place, configuration, removed: [], member: null, timeMs: 1 });
    await store.flushed();
    const begun = await core.stateMachine.openSnapshot();
    const checkpoints = [{ index: 1, digest: Buffer.alloc(32, 9), format: DATA_FORMAT }];
    const heard = { checkpoints, lowSpace: false, stateMissing: false, term: 1, processes: [] };
    core.announcementHeard({ nodeId, announcement: heard });
    expect(core.guard.refusal).toBeNull();
    await expect(core.stateMachine.openSnapshot()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await expect(begun.rows()[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await begun.close();
    core.announcementHeard({ nodeId, announcement: { ...heard, checkpoints: [], stateMissing: true } });
    await (await core.stateMachine.openSnapshot()).close();
  });
});

describe('a snapshot from another node', () => {
  it('is not installed on a disk that is down to its reserve, before or after it has begun', async () => {
    const configuration = CONFIGURATION;
    const place = { index: 1, term: 1, hash: Buffer.alloc(32, 1) };
    store.apply({ kind: 'configuration', place, configuration, removed: [], member: null, timeMs: 1 });
    await store.flushed();
    const install = async (): Promise<void> => {
      const snapshot = await core.stateMachine.openSnapshot();
      try {
        await core.stateMachine.installSnapshot(snapshot);
      } finally {
        await snapshot.close();
      }
    };
    const rooms: number[][] = [[0], [9_999, 0]];
    for (const room of rooms) {
      freeBytes = room;
      await expect(install()).rejects.toMatchObject({ code: 'NO_SPACE' });
      expect(readdirSync(join(folder, 'state')).toSorted()).toEqual(['1', 'current']);
      freeBytes = [9_999];
      await core.reserve.check();
    }
    expect(logger.warnings).toEqual([]);
    await install();
    expect(readdirSync(join(folder, 'state')).toSorted()).toEqual(['2', 'current']);
  });
});

describe('the state machine', () => {
  it('opens an entry and applies it', () => {
    const batch = { timeMs: 5, commands: [writeOf('elsewhere')] };
    core.stateMachine.apply(entryAt(1, sealBatch(sealerFor(KEYRING), batch, { index: 1, term: 1 })));
    expect(store.get('k')?.value.toString()).toBe('v');
    expect(store.logTimeMs).toBe(5);
  });

  it('stops at an entry that does not open, having applied nothing', async () => {
    const batch = { timeMs: 5, commands: [writeOf('elsewhere')] };
    const moved = entryAt(1, sealBatch(sealerFor(KEYRING), batch, { index: 2, term: 1 }));
    expect((await refusalOf(() => core.stateMachine.apply(moved))).code).toBe('ENVELOPE_UNREADABLE');
    expect(store.applied.index).toBe(0);
  });

  const principal = { kind: 'client', name: 'ada', address: '' };
  const keyringAt = (index: number, keyring: typeof KEYRING, changeId = 'one') =>
    entryAt(index, keyringPayload(stored(keyring), { changeId, step: 'activate' }));
  const batchAt = (index: number, keyring: typeof KEYRING, commands: readonly Command[]) =>
    entryAt(index, sealBatch(sealerFor(keyring), { timeMs: 5, commands }, { index, term: 1 }));
  const rotation: Command = {
    origin: 'elsewhere',
    sequence: 1,
    principal,
    beginKeyChange: { id: 'one', kind: 'rotate', encryption: '', source: '' },
  };

  it('takes a keyring from the log where the state allows it, and nowhere else', () => {
    const next = withSetAtIndex(withNewActiveKey(KEYRING, { random: systemRandom, clock: systemClock }), 3);
    core.stateMachine.apply(keyringAt(1, next));
    expect(keyring.keyring.generation).toBe(1);
    core.stateMachine.apply(batchAt(2, KEYRING, [rotation]));
    core.stateMachine.apply(keyringAt(3, next));
    expect(keyring.keyring.generation).toBe(2);
    core.stateMachine.apply(batchAt(4, next, [writeOf('elsewhere')]));
    expect(store.get('k')?.value.toString()).toBe('v');
  });

  it('passes over what is sealed under another key than the one in force at its index', () => {
    const next = withSetAtIndex(withNewActiveKey(KEYRING, { random: systemRandom, clock: systemClock }), 2);
    core.stateMachine.apply(batchAt(1, KEYRING, [rotation]));
    core.stateMachine.apply(keyringAt(2, next));
    core.stateMachine.apply(batchAt(3, KEYRING, [writeOf('elsewhere')]));
    expect(store.get('k')).toBeNull();
    expect(store.applied.index).toBe(3);
    // Not even opened: whether it would open makes no difference.
    const rubbish = batchAt(4, KEYRING, [writeOf('elsewhere')]);
    core.stateMachine.apply({
      ...rubbish,
      payload: Buffer.from(rubbish.payload).fill(0, rubbish.payload.length - 16),
    });
    expect(store.applied.index).toBe(4);
    core.stateMachine.apply(batchAt(5, next, [writeOf('elsewhere')]));
    expect(store.get('k')?.value.toString()).toBe('v');
  });

  it('refuses a forward that is not from its sender, and tells the log, once', () => {
    const from = { nodeId: OTHER, sequence: 3 };
    const envelope = sealForward(sealerFor(KEYRING), [writeOf('elsewhere')], from);
    for (let time = 0; time < 100; time += 1)
      expect(core.stateMachine.forwarded({ from: OWN, sequence: 3, envelope })).toBe(false);
    expect(logger.warnings).toEqual(['a forwarded batch does not open']);
    // It opens, but this node does not lead.
    expect(core.stateMachine.forwarded({ from: OTHER, sequence: 3, envelope })).toBe(false);
    expect(logger.warnings).toHaveLength(1);
  });
});
