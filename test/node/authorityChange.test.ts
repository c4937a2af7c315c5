import { createPrivateKey } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ManualClock } from '../../src/base/clock.ts';
import { HoldfastError } from '../../src/base/errors.ts';
import { newStoreId } from '../../src/base/ids.ts';
import { silentLogger } from '../../src/base/logger.ts';
import { createKeyring } from '../../src/envelope/keyring.ts';
import { Sealer } from '../../src/envelope/sealer.ts';
import { AuthorityChange } from '../../src/node/authorityChange.ts';
import { CredentialsInForce } from '../../src/node/credentialsInForce.ts';
import { Leadership } from '../../src/node/leadership.ts';
import type { Submission } from '../../src/node/submit.ts';
import type { AuthorityRow, Member, Outcome } from '../../src/proto/storage.ts';
import { certificateHash } from '../../src/store/authorityRotation.ts';
import { createAuthority } from '../../src/trust/authority.ts';
import { saveNodeCredentials } from '../../src/trust/nodeCredentials.ts';
import { JWT_FINGERPRINT } from '../envelope/fixtures.ts';
import { newCluster, newNode, random } from '../trust/cluster.ts';

let dataDir: string;
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'holdfast-authorities-'));
});
afterEach(() => rmSync(dataDir, { recursive: true }));

/** A node that has just joined, and was told to trust a second CA; its state is empty. */
async function joined() {
  const clock = new ManualClock();
  const cluster = await newCluster(clock);
  const { clusterId, authority } = cluster;
  const { nodeId, certificate, privateKey } = await newNode(cluster, { clock });
  const { certificate: told } = await createAuthority({ clusterId, clock, random });
  const storeId = newStoreId(random);
  const jwtSecretFingerprint = JWT_FINGERPRINT;
  const keyring = createKeyring({ storeId, encryption: 'on', jwtSecretFingerprint, random, clock });
  const own = {
    authorities: [authority.certificate, told],
    authoritiesIndex: 0,
    certificate,
    former: null,
    privateKey,
  };
  await saveNodeCredentials({ dataDir, sealer: new Sealer({ keyring, storeId, random }) }, own);
  const credentials = new CredentialsInForce({ dataDir, credentials: own, clock });
  const state = { authority: null as AuthorityRow | null, authorityIndex: 0, members: [] as Member[] };
  const submitted: Submission[] = [];
  let outcome = (): Promise<Outcome> => Promise.resolve({ replayed: false });
  const change = new AuthorityChange({
    clusterId,
    nodeId,
    store: {
      get authority() {
        return state.authority;
      },
      get authorityIndex() {
        return state.authorityIndex;
      },
      get members() {
        return state.members;
      },
      member: (id) => state.members.find((member) => member.nodeId === id) ?? null,
    },
    credentials,
    leadership: new Leadership(),
    submit: {
      submit: (submission) => {
        submitted.push(submission);
        return outcome();
      },
    },
    onTrusted: () => undefined,
    clock,
    random,
    logger: silentLogger,
  });
  /** Changes go one after the other: one that changes nothing is done when all before it are. */
  const settled = () => credentials.trust([], -1);
  const applied = (row: AuthorityRow, index: number): void => {
    Object.assign(state, { authority: row, authorityIndex: index });
    change.tick();
  };
  const isMemberNow = (): void => {
    state.members.push({ nodeId, name: 'n', peerAddress: 'p:1', apiAddress: 'a:1', wantedRole: 'voter' });
    change.tick();
  };
  const { certificate: signing } = authority;
  /** The next CA's key, as it was proposed, once `begin` is over. */
  const keyAfterBegin = async (result: () => Promise<Outcome>): Promise<Uint8Array> => {
    outcome = result;
    const principal = { kind: 'client', name: 'ada', address: '' };
    await change.begin({ principal, deadlineMs: clock.monotonicMs() + 1_000 }).catch(() => undefined);
    return submitted.at(-1)?.rotateAuthority?.privateKey ?? Buffer.alloc(0);
  };
  return {
    change,
    credentials,
    settled,
    applied,
    isMemberNow,
    signing,
    told,
    privateKey: authority.privateKey,
    keyAfterBegin,
  };
}

it('a CA that only the answer to the join named is trusted no more once the state holds this node', async () => {
  const { change, credentials, settled, applied, isMemberNow, signing, told, privateKey } = await joined();
  applied({ certificate: signing, privateKey }, 2);
  await settled();
  // The state is older than the answer: it says nothing yet of what the others show.
  expect(credentials.now.authorities).toEqual([signing, told]);
  expect(change.decided).toBeNull();
  isMemberNow();
  await expect.poll(() => credentials.now.authorities).toEqual([signing]);
  expect(credentials.now.authoritiesIndex).toBe(2);
  expect(change.decided?.certificate).toEqual(signing);
});

it('what the answer to the join named counts as no confirmation of a CA', async () => {
  const { change, credentials, applied, isMemberNow, signing, told, privateKey } = await joined();
  expect(change.announcement()).toMatchObject({
    trustedAuthorities: [],
    ownAuthority: certificateHash(signing),
  });
  applied({ certificate: signing, privateKey, rotation: { certificate: told, privateKey } }, 9);
  isMemberNow();
  await expect.poll(() => credentials.now.authoritiesIndex).toBe(9);
  const trusted = [signing, told].map(certificateHash);
  expect(change.announcement().trustedAuthorities).toEqual(trusted);
});

it('a state that is older than what this node has followed before decides nothing', async () => {
  const { change, credentials, settled, applied, isMemberNow, signing, told, privateKey } = await joined();
  isMemberNow();
  applied({ certificate: signing, privateKey, rotation: { certificate: told, privateKey } }, 9);
  await expect.poll(() => credentials.now.authoritiesIndex).toBe(9);
  applied({ certificate: signing, privateKey }, 2);
  await settled();
  expect(credentials.now.authorities).toEqual([signing, told]);
  expect(change.decided).toBeNull();
});

it('the key of the next CA is wiped when the log has it, and not while it may still be proposed', async () => {
  const { keyAfterBegin } = await joined();
  const wiped = await keyAfterBegin(() => Promise.resolve({ replayed: false }));
  expect([wiped.length > 100, wiped.every((byte) => byte === 0)]).toEqual([true, true]);
  const lost = new HoldfastError('OUTCOME_UNKNOWN', 'no answer within the deadline');
  const kept = await keyAfterBegin(() => Promise.reject(lost));
  expect(createPrivateKey({ key: Buffer.from(kept), format: 'der', type: 'pkcs8' }).type).toBe('private');
});
