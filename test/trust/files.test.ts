import { mkdtemp, readdir, readFile, rm, stat, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ManualClock, systemClock } from '../../src/base/clock.ts';
import { type ClusterId, newClusterId, newNodeId, newStoreId, type StoreId } from '../../src/base/ids.ts';
import { createKeyring } from '../../src/envelope/keyring.ts';
import { Sealer } from '../../src/envelope/sealer.ts';
import {
  identityPath,
  type NodeIdentityFile,
  newInstance,
  readIdentityFile,
  writeIdentityFile,
} from '../../src/trust/identityFile.ts';
import {
  loadNodeCredentials,
  type NodeCredentials,
  replaceNodeCertificate,
  resealNodeKey,
  saveNodeCredentials,
} from '../../src/trust/nodeCredentials.ts';
import { pemOf } from '../../src/trust/tls.ts';
import { JWT_FINGERPRINT } from '../envelope/fixtures.ts';
import { DAY_MS, newCluster, newNode, random, type TestCluster, type TestNode } from './cluster.ts';

let dataDir: string;
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'holdfast-trust-'));
});
afterEach(() => rm(dataDir, { recursive: true }));

function newSealer(storeId: StoreId, encryption: 'on' | 'off' = 'on'): Sealer {
  return new Sealer({
    keyring: createKeyring({
      storeId,
      encryption,
      jwtSecretFingerprint: JWT_FINGERPRINT,
      random,
      clock: systemClock,
    }),
    storeId,
    random,
  });
}

describe('node credentials on disk', () => {
  const storeId = newStoreId(random);
  const sealer = newSealer(storeId);
  let cluster: TestCluster;
  let node: TestNode;
  let credentials: NodeCredentials;
  beforeAll(async () => {
    cluster = await newCluster();
    node = await newNode(cluster);
    credentials = credentialsOf(node);
  });

  function credentialsOf({ certificate, privateKey }: TestNode): NodeCredentials {
    return {
      authorities: [cluster.authority.certificate],
      authoritiesIndex: 7,
      certificate,
      former: null,
      privateKey,
    };
  }
  const owner = (change: { clusterId?: ClusterId; nodeId?: TestNode['nodeId'] } = {}) => ({
    clusterId: change.clusterId ?? cluster.clusterId,
    nodeId: change.nodeId ?? node.nodeId,
    clock: systemClock,
  });
  const file = (name: string) => join(dataDir, 'trust', name);

  it('come back as they were written, the key sealed whatever the toggle says', async () => {
    for (const each of [sealer, newSealer(storeId, 'off')]) {
      await saveNodeCredentials({ dataDir, sealer: each }, credentials);
      const loaded = await loadNodeCredentials({ dataDir, sealer: each }, owner());
      expect(loaded.certificate).toEqual(node.certificate);
      expect(loaded.authorities).toEqual([cluster.authority.certificate]);
      expect(loaded.authoritiesIndex).toBe(7);
      expect(loaded.privateKey.equals(node.privateKey)).toBe(true);
      expect((await readdir(join(dataDir, 'trust'))).toSorted()).toEqual([
        'authority.pem',
        'node.key.sealed',
        'node.pem',
      ]);
      const sealed = await readFile(file('node.key.sealed'));
      const plain = node.privateKey.export({ format: 'der', type: 'pkcs8' });
      expect(sealed.includes(plain.subarray(-40))).toBe(false);
      expect(sealed.toString('latin1')).not.toContain(plain.toString('base64').slice(40, 80));
      expect((await stat(file('node.key.sealed'))).mode & 0o777).toBe(0o600);
    }
  });

  it('are renewed by one file, and resealed by one file as the next generation', async () => {
    await saveNodeCredentials({ dataDir, sealer }, credentials);
    const before = await readFile(file('node.key.sealed'));
    await resealNodeKey({ dataDir, sealer }, node.privateKey);
    const after = await readFile(file('node.key.sealed'));
    expect([before.readBigUInt64BE(), after.readBigUInt64BE()]).toEqual([1n, 2n]);
    await replaceNodeCertificate(dataDir, credentials);
    const loaded = await loadNodeCredentials({ dataDir, sealer }, owner());
    expect(loaded.privateKey.equals(node.privateKey)).toBe(true);
    // An envelope under another generation than its own is one that was put back from before.
    await writeFile(file('node.key.sealed'), Buffer.concat([after.subarray(0, 8), before.subarray(8)]));
    await expect(loadNodeCredentials({ dataDir, sealer }, owner())).rejects.toMatchObject({
      code: 'ENVELOPE_UNREADABLE',
    });
  });

  it('are taken when they have expired: whoever leads alone renews them', async () => {
    await saveNodeCredentials({ dataDir, sealer }, credentials);
    const later = new ManualClock(systemClock.wallMs() + 60 * DAY_MS);
    const loaded = await loadNodeCredentials({ dataDir, sealer }, { ...owner(), clock: later });
    expect(loaded.certificate).toEqual(node.certificate);
  });

  it('never lay a certificate beside a key that is not its own', async () => {
    await saveNodeCredentials({ dataDir, sealer }, credentials);
    const other = await newNode(cluster, { nodeId: node.nodeId });
    const mixed = { ...credentials, certificate: other.certificate };
    await expect(replaceNodeCertificate(dataDir, mixed)).rejects.toThrow(/own key/);
    await writeFile(file('node.pem'), other.material.cert);
    await expect(loadNodeCredentials({ dataDir, sealer }, owner())).rejects.toMatchObject({
      code: 'DATA_DIR_INVALID',
      message: expect.stringContaining('not the key of the certificate'),
    });
  });

  it.each(['authority.pem', 'node.pem', 'node.key.sealed'])(
    'are refused without %s, and when it is cut',
    async (name) => {
      await saveNodeCredentials({ dataDir, sealer }, credentials);
      const whole = await readFile(file(name));
      for (const length of [0, 5, Math.floor(whole.length / 2), whole.length - 20]) {
        await writeFile(file(name), whole.subarray(0, length));
        await expect(loadNodeCredentials({ dataDir, sealer }, owner())).rejects.toMatchObject({
          code: expect.stringMatching(/^(DATA_DIR_INVALID|ENVELOPE_UNREADABLE)$/),
        });
      }
      await writeFile(file(name), Buffer.alloc(1 << 20));
      await expect(loadNodeCredentials({ dataDir, sealer }, owner())).rejects.toMatchObject({
        code: 'DATA_DIR_INVALID',
      });
      await unlink(file(name));
      await expect(loadNodeCredentials({ dataDir, sealer }, owner())).rejects.toMatchObject({
        code: 'DATA_DIR_INVALID',
        message: expect.stringContaining(`${name}: it is missing`),
      });
    },
  );

  it('are refused when they are of another node, cluster, authority or store, or not valid yet', async () => {
    await saveNodeCredentials({ dataDir, sealer }, credentials);
    const load = (change: Parameters<typeof owner>[0], by = sealer) =>
      loadNodeCredentials({ dataDir, sealer: by }, owner(change));
    await expect(load({ nodeId: newNodeId(random) })).rejects.toMatchObject({ code: 'DATA_DIR_INVALID' });
    await expect(load({ clusterId: newClusterId(random) })).rejects.toMatchObject({
      code: 'CERTIFICATE_INVALID',
    });
    await expect(load({}, newSealer(newStoreId(random)))).rejects.toMatchObject({ code: 'KEY_UNKNOWN' });
    const earlier = new ManualClock(systemClock.wallMs() - DAY_MS);
    await expect(loadNodeCredentials({ dataDir, sealer }, { ...owner(), clock: earlier })).rejects.toThrow(
      /valid only from/,
    );
    await writeFile(file('authority.pem'), pemOf((await newCluster()).authority.certificate));
    await expect(load({})).rejects.toMatchObject({ code: 'DATA_DIR_INVALID' });
  });
});

describe('the identity file', () => {
  const identity: NodeIdentityFile = {
    clusterId: newClusterId(random),
    storeId: newStoreId(random),
    nodeId: newNodeId(random),
    name: 'Knoten 1 – Zürich',
    instance: newInstance(random),
    format: 1,
  };

  it('comes back as it was written; an empty directory has none', async () => {
    expect(await readIdentityFile(dataDir)).toBeNull();
    await writeIdentityFile(dataDir, identity);
    expect(await readIdentityFile(dataDir)).toEqual(identity);
    expect((await stat(identityPath(dataDir))).mode & 0o777).toBe(0o600);
  });

  it('is never replaced', async () => {
    await writeIdentityFile(dataDir, identity);
    const other = { ...identity, nodeId: newNodeId(random) };
    await expect(writeIdentityFile(dataDir, other)).rejects.toMatchObject({
      code: 'DATA_DIR_INVALID',
      message: expect.stringContaining(identity.nodeId),
    });
    expect(await readIdentityFile(dataDir)).toEqual(identity);
  });

  const whole = { schema: 1, ...identity };
  const bad: [string, string, RegExp][] = [
    ['empty', '', /not JSON/],
    ['cut', JSON.stringify(whole).slice(0, 40), /not JSON/],
    ['of another schema', JSON.stringify({ ...whole, schema: 2 }), /schema is 2/],
    ['a list', '[]', /object/],
    ['without a field', JSON.stringify({ ...whole, instance: undefined }), /instance is missing/],
    ['with a field more', JSON.stringify({ ...whole, x: 1 }), /besides/],
    ['with a bad id', JSON.stringify({ ...whole, nodeId: 'ABC' }), /nodeId/],
    ['with an id that is a number', JSON.stringify({ ...whole, storeId: 1 }), /storeId/],
    ['with a control character in its name', JSON.stringify({ ...whole, name: 'a\nb' }), /name/],
    ['with half a format', JSON.stringify({ ...whole, format: 1.5 }), /format/],
    ['too long', ' '.repeat(1 << 20), /limit/],
  ];
  it.each(bad)('is refused when it is %s', async (_what, text, message) => {
    await writeFile(identityPath(dataDir), text);
    const refusal = expect(readIdentityFile(dataDir)).rejects;
    await refusal.toMatchObject({ code: 'DATA_DIR_INVALID', message: expect.stringMatching(message) });
    await expect(writeIdentityFile(dataDir, identity)).rejects.toMatchObject({ code: 'DATA_DIR_INVALID' });
  });
});
