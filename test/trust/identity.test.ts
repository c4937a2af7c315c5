import { webcrypto } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import { ManualClock, systemClock } from '../../src/base/clock.ts';
import { HoldfastError } from '../../src/base/errors.ts';
import { certificateIdentity, clientIdentity, nodeIdentity } from '../../src/trust/identity.ts';
import { identityUri, parseIdentityUri } from '../../src/trust/identityUri.ts';
import { ECDSA_P256, x509 } from '../../src/trust/x509.ts';
import { DAY_MS, newClient, newCluster, newNode, type TestCluster } from './cluster.ts';

let cluster: TestCluster;
let other: TestCluster;
beforeAll(async () => {
  [cluster, other] = await Promise.all([newCluster(), newCluster()]);
});

function refusal(work: () => unknown): HoldfastError {
  try {
    work();
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(HoldfastError);
    return thrown as HoldfastError;
  }
  throw new Error('it was accepted');
}

interface Handmade {
  readonly names: { readonly type: 'url' | 'dns'; readonly value: string }[];
  readonly extendedUsages?: string[];
  readonly flags?: number;
  readonly ca?: boolean;
  readonly repeat?: boolean;
  readonly cluster?: TestCluster;
}

const { serverAuth, clientAuth } = x509.ExtendedKeyUsage;
const { digitalSignature, keyCertSign } = x509.KeyUsageFlags;

/** What the authority's key never signs in earnest. */
async function handmade(choice: Handmade): Promise<Buffer> {
  const { authority } = choice.cluster ?? cluster;
  const { privateKey } = authority;
  const signingKey = await webcrypto.subtle.importKey('pkcs8', privateKey, ECDSA_P256, false, ['sign']);
  const keys = await webcrypto.subtle.generateKey(ECDSA_P256, true, ['sign', 'verify']);
  const names = new x509.SubjectAlternativeNameExtension(choice.names);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: '4001',
    subject: 'CN=x',
    issuer: new x509.X509Certificate(authority.certificate).subjectName,
    notBefore: new Date(systemClock.wallMs() - DAY_MS),
    notAfter: new Date(systemClock.wallMs() + DAY_MS),
    publicKey: keys.publicKey,
    signingKey,
    signingAlgorithm: ECDSA_P256,
    extensions: [
      new x509.BasicConstraintsExtension(choice.ca ?? false),
      new x509.KeyUsagesExtension(choice.flags ?? digitalSignature),
      new x509.ExtendedKeyUsageExtension(choice.extendedUsages ?? [serverAuth, clientAuth]),
      ...(choice.names.length === 0 ? [] : [names]),
      ...(choice.repeat === true ? [names] : []),
    ],
  });
  return Buffer.from(certificate.rawData);
}

describe('the identity of a certificate', () => {
  it('is that of the node or the client that it was issued for', async () => {
    const node = await newNode(cluster);
    expect(nodeIdentity(node.certificate, cluster.context)).toBe(node.nodeId);
    expect(nodeIdentity({ raw: node.certificate }, cluster.context)).toBe(node.nodeId);
    const { certificate } = await newClient(cluster, 'ops@example.net');
    expect(clientIdentity(certificate, cluster.context)).toBe('ops@example.net');
  });

  it('of a client is nobody to a peer port, and of a node nobody to the API', async () => {
    const node = await newNode(cluster);
    const client = await newClient(cluster, 'admin');
    const asNode = refusal(() => nodeIdentity(client.certificate, cluster.context));
    expect(asNode).toMatchObject({
      code: 'CERTIFICATE_INVALID',
      message: expect.stringContaining('only nodes'),
    });
    const asClient = refusal(() => clientIdentity(node.certificate, cluster.context));
    expect(asClient).toMatchObject({
      code: 'CERTIFICATE_INVALID',
      message: expect.stringContaining('only clients'),
    });
  });

  it('is refused from another cluster, whose CA it is signed by or whose id it names', async () => {
    const foreign = await newNode(other);
    expect(refusal(() => certificateIdentity(foreign.certificate, cluster.context)).message).toMatch(
      /authority/,
    );
    const named = {
      type: 'url',
      value: identityUri(other.clusterId, { kind: 'client', name: 'a' }),
    } as const;
    const ours = await handmade({ names: [named], extendedUsages: [clientAuth] });
    expect(refusal(() => certificateIdentity(ours, cluster.context)).message).toContain(
      `cluster ${other.clusterId}, and this is cluster ${cluster.clusterId}`,
    );
    // Signed with the other key, under our authority's name.
    const posing = {
      ...cluster,
      authority: { ...cluster.authority, privateKey: other.authority.privateKey },
    };
    const forged = await newNode(posing);
    expect(refusal(() => certificateIdentity(forged.certificate, cluster.context)).message).toMatch(
      /not signed/,
    );
  });

  it('is refused before and after its time, with both times', async () => {
    const clock = new ManualClock();
    const timed = await newCluster(clock);
    const { certificate, nodeId } = await newNode(timed, { clock, lifetimeMs: DAY_MS });
    clock.advance(DAY_MS);
    expect(nodeIdentity(certificate, timed.context)).toBe(nodeId);
    clock.advance(1_000);
    const expired = refusal(() => nodeIdentity(certificate, timed.context));
    expect(expired.code).toBe('CERTIFICATE_INVALID');
    expect(expired.message).toContain(`this machine's clock says ${new Date(clock.wallMs()).toISOString()}`);
    expect(expired.message).toContain('expired at 2023-11-15T22:13:20.000Z');
    clock.jumpWall(-2 * DAY_MS);
    expect(refusal(() => nodeIdentity(certificate, timed.context)).message).toContain('is valid only from');
  });

  it('is refused when the names or the usage are not exactly those that are issued', async () => {
    const { clusterId } = cluster;
    const node = { type: 'url', value: `holdfast://${clusterId}/node/00000000000000aa` } as const;
    const client = { type: 'url', value: `holdfast://${clusterId}/client/a` } as const;
    const url = (value: string) => [{ type: 'url', value } as const];
    const table: [Handmade, RegExp][] = [
      [{ names: [] }, /no URI/],
      [{ names: [{ type: 'dns', value: 'a.b' }] }, /no URI/],
      [{ names: [node, node] }, /more than one URI/],
      [{ names: [node, client] }, /more than one URI/],
      [{ names: url('https://example.net/') }, /no node and no client/],
      [{ names: url(`holdfast://${clusterId}/node/xyz`) }, /no node and no client/],
      [{ names: url(`holdfast://${clusterId}/root/a`) }, /no node and no client/],
      [{ names: url(`holdfast://${clusterId}/client/a/b`) }, /no node and no client/],
      [{ names: [node], extendedUsages: [serverAuth] }, /usage/],
      [{ names: [node], extendedUsages: [clientAuth] }, /usage/],
      [{ names: [node], extendedUsages: [clientAuth, clientAuth] }, /usage/],
      [{ names: [client], extendedUsages: [serverAuth, clientAuth] }, /usage/],
      [{ names: [client], extendedUsages: [serverAuth] }, /usage/],
      [{ names: [node], flags: digitalSignature | keyCertSign }, /usage/],
      [{ names: [node], ca: true }, /usage/],
      [{ names: [node], repeat: true }, /not signed/],
    ];
    for (const [choice, message] of table) {
      const der = await handmade(choice);
      const error = refusal(() => certificateIdentity(der, cluster.context));
      expect(error.code).toBe('CERTIFICATE_INVALID');
      expect(error.message).toMatch(message);
    }
    expect(nodeIdentity(await handmade({ names: [node] }), cluster.context)).toBe('00000000000000aa');
  });

  it('is refused as CERTIFICATE_INVALID when cut or when any byte of it differs', async () => {
    const { certificate } = await newNode(cluster);
    for (let at = 0; at < certificate.length; at += 1) {
      const damaged = Buffer.from(certificate);
      damaged[at] = (damaged[at] ?? 0) ^ 0x10;
      expect(refusal(() => nodeIdentity(damaged, cluster.context)).code).toBe('CERTIFICATE_INVALID');
      const cut = certificate.subarray(0, at);
      expect(refusal(() => nodeIdentity(cut, cluster.context)).code).toBe('CERTIFICATE_INVALID');
    }
    const long = Buffer.alloc(1 << 20);
    expect(refusal(() => nodeIdentity(long, cluster.context)).message).toMatch(/too long/);
  });

  it('reads back every URI that it writes', () => {
    const { clusterId } = cluster;
    const identity = { kind: 'client', name: 'a.b-c_d@e' } as const;
    expect(parseIdentityUri(identityUri(clusterId, identity))).toEqual({ clusterId, identity });
  });
});
