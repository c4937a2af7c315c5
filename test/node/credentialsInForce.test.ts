import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ManualClock } from '../../src/base/clock.ts';
import { newStoreId } from '../../src/base/ids.ts';
import { createKeyring } from '../../src/envelope/keyring.ts';
import { Sealer } from '../../src/envelope/sealer.ts';
import { CredentialsInForce } from '../../src/node/credentialsInForce.ts';
import { createAuthority } from '../../src/trust/authority.ts';
import { issueNodeCertificate } from '../../src/trust/certificates.ts';
import {
  loadNodeCredentials,
  type NodeCredentials,
  saveNodeCredentials,
} from '../../src/trust/nodeCredentials.ts';
import { JWT_FINGERPRINT } from '../envelope/fixtures.ts';
import { DAY_MS, newCluster, newNode, random } from '../trust/cluster.ts';

let dataDir: string;
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'holdfast-credentials-'));
});
afterEach(() => rmSync(dataDir, { recursive: true }));

/** A node of a cluster whose CA is changed, and the certificate that it would have from the next one. */
async function rig() {
  const clock = new ManualClock();
  const cluster = await newCluster(clock);
  const { clusterId } = cluster;
  const old = cluster.authority.certificate;
  const node = await newNode(cluster, { clock, lifetimeMs: 30 * DAY_MS });
  const { nodeId, certificate, privateKey } = node;
  const nextAuthority = await createAuthority({ clusterId, clock, random });
  const { certificate: next } = nextAuthority;
  const renewed = await issueNodeCertificate({
    authority: nextAuthority,
    clusterId,
    csr: node.csr,
    nodeId,
    names: { hosts: ['127.0.0.1'] },
    lifetimeMs: 60 * DAY_MS,
    clock,
    random,
  });
  const storeId = newStoreId(random);
  const keyring = createKeyring({
    storeId,
    encryption: 'on',
    jwtSecretFingerprint: JWT_FINGERPRINT,
    random,
    clock,
  });
  const sealer = new Sealer({ keyring, storeId, random });
  const own: NodeCredentials = {
    authorities: [old],
    authoritiesIndex: 0,
    certificate,
    former: null,
    privateKey,
  };
  await saveNodeCredentials({ dataDir, sealer }, own);
  const credentials = new CredentialsInForce({ dataDir, credentials: own, clock });
  const shown: NodeCredentials[] = [];
  credentials.onReplaced((now) => shown.push(now));
  /** What a restart would find is what is in force. */
  const expectStored = async (): Promise<void> => {
    const { privateKey: key, ...stored } = await loadNodeCredentials(
      { dataDir, sealer },
      { clusterId, nodeId, clock },
    );
    const { privateKey: inForce, ...now } = credentials.now;
    expect(stored).toEqual(now);
    expect(key.equals(inForce)).toBe(true);
  };
  return { clock, credentials, shown, old, next, certificate, renewed, expectStored };
}

const FORMER = () => join(dataDir, 'trust', 'former.pem');

it('trust both CAs in the overlap, keep the former certificate for clients, and lose both with the former CA', async () => {
  const { credentials, old, next, certificate, renewed, expectStored } = await rig();
  await credentials.trust([old, next], 10);
  await expectStored();
  await credentials.renew(renewed);
  expect(credentials.now).toMatchObject({ certificate: renewed, former: certificate });
  expect(Buffer.from(credentials.signer ?? '')).toEqual(next);
  await expectStored();
  await credentials.trust([next, old], 11);
  expect(credentials.now.former).toEqual(certificate);
  await expectStored();
  await credentials.trust([next], 12);
  expect(credentials.now).toMatchObject({ authorities: [next], former: null, certificate: renewed });
  expect(existsSync(FORMER())).toBe(false);
  await expectStored();
});

it('are not taken back by a state that is older, and told anew only when something has changed', async () => {
  const { credentials, shown, old, next, expectStored } = await rig();
  await credentials.trust([old, next], 10);
  await credentials.trust([old], 2);
  await credentials.trust([old, next], 10);
  expect(credentials.now.authorities).toEqual([old, next]);
  expect(shown).toHaveLength(1);
  await expectStored();
});

it('never drop the CA of the certificate that the node shows', async () => {
  const { credentials, old, next, renewed, expectStored } = await rig();
  await credentials.trust([next], 10);
  expect(credentials.now.authorities).toEqual([next, old]);
  await expectStored();
  await credentials.renew(renewed);
  await credentials.trust([next], 11);
  expect(credentials.now.authorities).toEqual([next]);
  await expectStored();
});

it('show no former certificate that has expired', async () => {
  const { clock, credentials, old, next, renewed } = await rig();
  await credentials.trust([old, next], 10);
  await credentials.renew(renewed);
  clock.advance(31 * DAY_MS);
  await credentials.trust([next, old], 10);
  expect(credentials.now.former).toBeNull();
  expect(existsSync(FORMER())).toBe(false);
});

it('change one after the other, whatever is asked for at once', async () => {
  const { credentials, shown, old, next, certificate, renewed, expectStored } = await rig();
  await Promise.all([
    credentials.trust([old, next], 10),
    credentials.renew(renewed),
    credentials.trust([next, old], 11),
  ]);
  expect(credentials.now).toMatchObject({
    authorities: [next, old],
    certificate: renewed,
    former: certificate,
  });
  expect(shown).toHaveLength(3);
  await expectStored();
});
