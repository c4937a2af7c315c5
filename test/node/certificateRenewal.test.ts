import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ManualClock } from '../../src/base/clock.ts';
import { HoldfastError } from '../../src/base/errors.ts';
import { newNodeId, newStoreId } from '../../src/base/ids.ts';
import { LIMITS } from '../../src/base/limits.ts';
import type { Scheduler, Timer } from '../../src/base/scheduler.ts';
import { createKeyring } from '../../src/envelope/keyring.ts';
import { Sealer } from '../../src/envelope/sealer.ts';
import { CertificateIssuer } from '../../src/node/certificateIssuer.ts';
import { CertificateRenewal } from '../../src/node/certificateRenewal.ts';
import { CredentialsInForce } from '../../src/node/credentialsInForce.ts';
import { Leadership } from '../../src/node/leadership.ts';
import type { RenewRequest, RenewResponse } from '../../src/proto/peer.ts';
import { loadNodeCredentials, saveNodeCredentials } from '../../src/trust/nodeCredentials.ts';
import { JWT_FINGERPRINT } from '../envelope/fixtures.ts';
import { DAY_MS, newCluster, newNode, random } from '../trust/cluster.ts';
import { FakeLogger } from './nodeFolder.ts';

const HOSTS = ['127.0.0.1', 'localhost', '::1'];
const LEADER = newNodeId(random);

/** One timer, as the component has it. */
class OneTimer implements Scheduler {
  delayMs: number | null = null;
  #run: (() => void) | null = null;

  after(delayMs: number, run: () => void): Timer {
    this.delayMs = delayMs;
    this.#run = run;
    return {
      stop: () => {
        this.delayMs = null;
        this.#run = null;
      },
    };
  }

  every(): Timer {
    throw new Error('not used');
  }

  afterPoll(): void {
    throw new Error('not used');
  }

  /** The time has come; resolves when the next one is set. */
  async fire(clock: ManualClock): Promise<void> {
    const { delayMs } = this;
    const run = this.#run;
    if (delayMs === null || run === null) throw new Error('nothing is planned');
    this.delayMs = null;
    clock.advance(delayMs);
    run();
    await expect.poll(() => this.delayMs, { interval: 1 }).not.toBeNull();
  }
}

let dataDir: string;
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'holdfast-renewal-'));
});
afterEach(() => rmSync(dataDir, { recursive: true }));

async function rig() {
  const clock = new ManualClock();
  const cluster = await newCluster(clock);
  const { authority, clusterId } = cluster;
  const node = await newNode(cluster, { clock, hosts: HOSTS, lifetimeMs: 30 * DAY_MS });
  const { nodeId, certificate, privateKey } = node;
  const storeId = newStoreId(random);
  const sealer = new Sealer({
    keyring: createKeyring({
      storeId,
      encryption: 'on',
      jwtSecretFingerprint: JWT_FINGERPRINT,
      random,
      clock,
    }),
    storeId,
    random,
  });
  const own = {
    authorities: [authority.certificate],
    authoritiesIndex: 0,
    certificate,
    former: null,
    privateKey,
  };
  await saveNodeCredentials({ dataDir, sealer }, own);
  const credentials = new CredentialsInForce({ dataDir, credentials: own, clock });
  const leadership = new Leadership();
  const logger = new FakeLogger();
  const timer = new OneTimer();
  const issuer = new CertificateIssuer({
    clusterId,
    store: { authority, members: [] },
    lifetimeMs: 30 * DAY_MS,
    clock,
    random,
  });
  const issue = (request: RenewRequest): Promise<RenewResponse> => issuer.issue({ ...request, nodeId });
  const asked: string[] = [];
  const answers = { issue };
  const renewal = new CertificateRenewal({
    clusterId,
    nodeId,
    hosts: HOSTS,
    credentials,
    signer: () => authority.certificate,
    leadership,
    issueHere: (request) => {
      asked.push('itself');
      return answers.issue(request);
    },
    ask: (leader, request) => {
      asked.push(leader === LEADER ? 'the leader' : 'another');
      return answers.issue(request);
    },
    clock,
    random,
    scheduler: timer,
    logger,
  });
  const stored = () => loadNodeCredentials({ dataDir, sealer }, { clusterId, nodeId, clock });
  return { clock, credentials, leadership, logger, timer, asked, answers, issue, renewal, stored, node };
}

it('asks when it is due and not before, the leader or itself, and has the answer on disk before it is shown', async () => {
  const { clock, credentials, leadership, timer, asked, renewal, stored, node } = await rig();
  const shown: Promise<boolean>[] = [];
  credentials.onReplaced(({ certificate }) => {
    shown.push(stored().then((onDisk) => onDisk.certificate.equals(certificate)));
  });
  leadership.changed({ isLeader: false, leader: LEADER });
  renewal.start();
  expect(timer.delayMs).toBe(LIMITS.renewalCheckMsMax);
  clock.advance(18 * DAY_MS);
  await timer.fire(clock);
  expect(asked).toEqual([]);
  clock.advance(2 * DAY_MS);
  await timer.fire(clock);
  expect(asked).toEqual(['the leader']);
  expect(credentials.now.certificate).not.toEqual(node.certificate);
  leadership.changed({ isLeader: true, leader: node.nodeId });
  clock.advance(20 * DAY_MS);
  await timer.fire(clock);
  expect(asked).toEqual(['the leader', 'itself']);
  expect(await Promise.all(shown)).toEqual([true, true]);
  renewal.stop();
  expect(timer.delayMs).toBeNull();
});

it('tries again ever later, up to a bound, and says so in log and status; then all is well again', async () => {
  const { clock, credentials, leadership, logger, timer, asked, answers, issue, renewal, node } = await rig();
  leadership.changed({ isLeader: false, leader: LEADER });
  clock.advance(21 * DAY_MS);
  renewal.start();
  expect(timer.delayMs).toBe(LIMITS.renewalCheckMsMin);
  answers.issue = () => Promise.reject(new HoldfastError('UNAVAILABLE', 'not now'));
  const delays: number[] = [];
  for (let attempt = 0; attempt < 20; attempt += 1) {
    await timer.fire(clock);
    delays.push(timer.delayMs ?? 0);
  }
  expect(asked).toHaveLength(20);
  expect(delays[0]).toBeLessThanOrEqual(2 * LIMITS.renewalRetryMsMin);
  expect(delays[19]).toBeGreaterThanOrEqual(LIMITS.renewalRetryMsMax / 2);
  expect(Math.max(...delays)).toBeLessThanOrEqual(LIMITS.renewalRetryMsMax);
  expect(logger.warnings).toHaveLength(20);
  expect(renewal.warnings).toEqual([]);
  clock.advance(3 * DAY_MS);
  expect(renewal.warnings.join()).toMatch(/ends at 20\d\d-/);
  clock.advance(10 * DAY_MS);
  expect(renewal.warnings.join()).toMatch(/expired at 20\d\d-/);
  answers.issue = issue;
  await timer.fire(clock);
  expect(credentials.now.certificate).not.toEqual(node.certificate);
  expect(renewal.warnings).toEqual([]);
  expect(timer.delayMs).toBe(LIMITS.renewalCheckMsMax);
});

it('without a leader asks nobody and looks again soon; an answer that is not its own it does not take', async () => {
  const { clock, credentials, leadership, logger, timer, asked, answers, renewal, stored, node } =
    await rig();
  clock.advance(21 * DAY_MS);
  renewal.start();
  await timer.fire(clock);
  expect([asked, timer.delayMs]).toEqual([[], LIMITS.renewalCheckMsMin]);
  leadership.changed({ isLeader: false, leader: LEADER });
  const foreign = await newCluster(clock);
  const { certificate } = await newNode(foreign, { clock, nodeId: node.nodeId, hosts: HOSTS });
  answers.issue = () => Promise.resolve({ certificate, authorityCertificate: foreign.authority.certificate });
  await timer.fire(clock);
  expect(asked).toEqual(['the leader']);
  expect(credentials.now.certificate).toBe(node.certificate);
  expect((await stored()).certificate).toEqual(node.certificate);
  expect(logger.warnings).toHaveLength(1);
});
