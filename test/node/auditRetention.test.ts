import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { ManualClock } from '../../src/base/clock.ts';
import { newClusterId } from '../../src/base/ids.ts';
import { SeededRandom } from '../../src/base/random.ts';
import { Housekeeping, type HousekeepingParts } from '../../src/node/housekeeping.ts';
import { LogClock } from '../../src/node/logClock.ts';
import type { Submission } from '../../src/node/submit.ts';
import { createAuthority } from '../../src/trust/authority.ts';
import { codeOf, command, NODE, put, StoreRig } from '../store/storeRig.ts';

const DAY_MS = 86_400_000;
const TURN_MS = 1_000;

let rig: StoreRig;
let clock: ManualClock;
let logClock: LogClock;
let submitted: Submission[];
let housekeeping: Housekeeping;
beforeEach(async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  rig = await StoreRig.create();
  clock = new ManualClock(rig.timeMs);
  logClock = new LogClock({
    clock,
    appliedTimeMs: () => rig.store.logTimeMs,
    voterClocks: () => ({ voterCount: 1, othersAheadMs: [] }),
  });
  submitted = [];
  housekeeping = leader();
});
afterEach(async () => {
  await housekeeping.stop();
  vi.useRealTimers();
  await rig.destroy();
});

/** What has nothing to do here. */
const idle = new Proxy({}, { get: () => () => undefined });

const leader = () =>
  new Housekeeping({
    core: {
      denials: idle,
      tokenUses: idle,
      read: idle,
      membership: idle,
      reserve: idle,
      leadership: { isLeader: true },
      logClock,
      submit: {
        sweep: () => undefined,
        submit: (submission: Submission) => Promise.resolve(apply(submission)),
      },
      announcement: () => ({}),
    },
    store: rig.store,
    clock,
    alerts: { tick: () => Promise.resolve() },
    announce: () => undefined,
  } as unknown as HousekeepingParts);

function apply(submission: Submission) {
  submitted.push(submission);
  rig.timeMs = logClock.stampMs();
  const outcomes = rig.apply(command(submission, NODE));
  expect(outcomes.map(codeOf)).toEqual(['none']);
  return outcomes[0];
}

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn += 1) {
    clock.advance(TURN_MS);
    await vi.advanceTimersByTimeAsync(TURN_MS);
  }
}

it('what need not be kept any more goes, also where nobody writes', async () => {
  const random = new SeededRandom(3);
  const authority = await createAuthority({ clusterId: newClusterId(random), clock, random });
  const member = {
    nodeId: NODE.name,
    name: 'n1',
    peerAddress: 'h:1',
    apiAddress: 'h:2',
    wantedRole: 'voter',
  };
  const { certificate: authorityCertificate, privateKey: authorityPrivateKey } = authority;
  rig.apply(command({ bootstrap: { authorityCertificate, authorityPrivateKey, member } }, NODE));
  rig.apply(command({ setAuditSettings: { settings: { reads: [], retentionMs: 10 * DAY_MS } } }));
  rig.run(put('a'));
  rig.run(put('b'));
  await turns(3);
  clock.advance(10 * DAY_MS);
  await turns(3);
  // It is old enough, but some more are to go with it.
  expect(submitted).toEqual([]);
  clock.advance(DAY_MS);
  await turns(5);
  expect(submitted.every(({ checkpointAudit }) => checkpointAudit)).toBe(true);
  expect(await rig.deeds()).toEqual(['audit.checkpoint 3', 'audit.checkpoint 4']);
  expect(rig.store.logTimeMs).toBeGreaterThan(rig.store.audit.rules.checkpoint?.timeMs ?? 0);
  // Which is not worth one of its own.
  await turns(5);
  expect(submitted).toHaveLength(2);
});
