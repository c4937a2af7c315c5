import { execFileSync } from 'node:child_process';
import { createHash, createPublicKey, generateKeyPairSync, webcrypto, X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ManualClock, systemClock } from '../../src/base/clock.ts';
import { newNodeId } from '../../src/base/ids.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { spkiHash } from '../../src/trust/authority.ts';
import { createNodeKeyAndCsr, verifyCertificateRequest } from '../../src/trust/certificateRequest.ts';
import { issueNodeCertificate } from '../../src/trust/certificates.ts';
import { renewalDueMs } from '../../src/trust/renewalDue.ts';
import { pemOf } from '../../src/trust/tls.ts';
import { ECDSA_P256, x509 } from '../../src/trust/x509.ts';
import { DAY_MS, newClient, newCluster, newNode, random, type TestCluster } from './cluster.ts';

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await newCluster();
});

const issueFor = (csr: Uint8Array, hosts: readonly string[] = []) =>
  issueNodeCertificate({
    authority: cluster.authority,
    clusterId: cluster.clusterId,
    csr,
    nodeId: newNodeId(random),
    names: { hosts },
    lifetimeMs: DAY_MS,
    clock: systemClock,
    random,
  });

describe('the cluster authority', () => {
  it('is a P-256 CA for ten years that signed itself', () => {
    const certificate = new X509Certificate(cluster.authority.certificate);
    expect(certificate.ca).toBe(true);
    expect(certificate.verify(certificate.publicKey)).toBe(true);
    expect(certificate.publicKey.asymmetricKeyDetails?.namedCurve).toBe('prime256v1');
    const years = (Date.parse(certificate.validTo) - systemClock.wallMs()) / (365 * DAY_MS);
    expect(years).toBeGreaterThan(9.99);
    expect(years).toBeLessThanOrEqual(10.01);
    const spki = certificate.publicKey.export({ format: 'der', type: 'spki' });
    expect(spkiHash(cluster.authority.certificate)).toEqual(createHash('sha256').update(spki).digest());
  });
});

describe('a node certificate', () => {
  it('carries the identity, the names chosen here, and a positive serial; it begins a little in the past', async () => {
    const node = await newNode(cluster, { hosts: ['10.0.0.1', 'fd00::1', 'node-1.example.net', '10.0.0.1'] });
    const certificate = new X509Certificate(node.certificate);
    const uri = `URI:holdfast://${cluster.clusterId}/node/${node.nodeId}`;
    expect(certificate.subjectAltName?.split(', ').toSorted()).toEqual(
      ['DNS:node-1.example.net', 'IP Address:10.0.0.1', 'IP Address:FD00:0:0:0:0:0:0:1', uri].toSorted(),
    );
    expect(certificate.ca).toBe(false);
    expect(certificate.serialNumber).toMatch(/^[4-7][0-9A-F]{31}$/);
    expect(Date.parse(certificate.validFrom)).toBeLessThan(systemClock.wallMs() - 60_000);
    expect(certificate.publicKey.equals(createPublicKey(node.privateKey))).toBe(true);
    expect(certificate.checkIssued(new X509Certificate(cluster.authority.certificate))).toBe(true);
  });

  it('has another serial each time', async () => {
    const { csr } = await newNode(cluster);
    const serials = await Promise.all([issueFor(csr), issueFor(csr)]);
    const [one, two] = serials.map((der) => new X509Certificate(der).serialNumber);
    expect(one).not.toBe(two);
  });

  it('does not outlive the authority', async () => {
    const clock = new ManualClock();
    const old = await newCluster(clock);
    clock.advance(LIMITS.authorityLifetimeMs - DAY_MS);
    const node = await newNode(old, { clock });
    const [leafEnd, authorityEnd] = [node.certificate, old.authority.certificate].map((der) =>
      Date.parse(new X509Certificate(der).validTo),
    );
    expect(leafEnd).toBe(authorityEnd);
  });

  it('is due for renewal after two thirds of its life', async () => {
    const clock = new ManualClock();
    const cluster2 = await newCluster(clock);
    const { certificate } = await newNode(cluster2, {
      clock,
      lifetimeMs: 30 * DAY_MS - LIMITS.certificateBackdateMs,
    });
    expect(renewalDueMs(certificate)).toBe(clock.wallMs() - LIMITS.certificateBackdateMs + 20 * DAY_MS);
  });

  it.each(['*.example.net', 'a b', '', '-x', '1.2.3.4.5', 'host:1', 'fe80::1%eth0'])(
    'is not issued for the name %j',
    async (name) => {
      const { csr } = await newNode(cluster);
      await expect(issueFor(csr, [name])).rejects.toMatchObject({ code: 'INVALID_ARGUMENT', field: 'names' });
    },
  );

  it('is not issued for more names than its limit', async () => {
    const { csr } = await newNode(cluster);
    const hosts = Array.from({ length: LIMITS.certificateNamesMax + 1 }, (_, i) => `h${i}`);
    await expect(issueFor(csr, hosts)).rejects.toMatchObject({ code: 'TOO_LARGE' });
  });
});

describe('a certificate request', () => {
  it('is refused at every flipped byte, or else it still is for the same key', async () => {
    const { csr } = await createNodeKeyAndCsr({ nodeId: newNodeId(random) });
    const whole = await verifyCertificateRequest(csr);
    let refused = 0;
    for (let at = 0; at < csr.length; at += 1) {
      const damaged = Buffer.from(csr);
      damaged[at] = (damaged[at] ?? 0) ^ 0x01;
      const outcome = await verifyCertificateRequest(damaged).catch((thrown: unknown) => thrown);
      // A few bits, such as the count of unused bits of the signature, are not what the signature is over.
      if ('csrKeyHash' in Object(outcome)) expect(outcome).toEqual(whole);
      else expect(outcome).toMatchObject({ name: 'HoldfastError', field: 'csr' });
      refused += 'csrKeyHash' in Object(outcome) ? 0 : 1;
    }
    expect(refused).toBeGreaterThan(csr.length - 10);
  });

  it('is refused for another curve, for RSA, when cut, empty or too long', async () => {
    const nodeId = newNodeId(random);
    const p384 = { ...ECDSA_P256, namedCurve: 'P-384', hash: 'SHA-384' };
    const rsa = {
      name: 'RSASSA-PKCS1-v1_5',
      hash: 'SHA-256',
      publicExponent: new Uint8Array([1, 0, 1]),
      modulusLength: 2048,
    };
    for (const algorithm of [p384, rsa]) {
      const keys = (await webcrypto.subtle.generateKey(algorithm, true, [
        'sign',
        'verify',
      ])) as webcrypto.CryptoKeyPair;
      const other = await x509.Pkcs10CertificateRequestGenerator.create({
        keys,
        signingAlgorithm: algorithm,
      });
      await expect(verifyCertificateRequest(new Uint8Array(other.rawData))).rejects.toThrow(/P-256/);
    }
    const { csr } = await createNodeKeyAndCsr({ nodeId });
    await expect(verifyCertificateRequest(csr.subarray(0, 50))).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
    await expect(verifyCertificateRequest(Buffer.alloc(0))).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
    const long = Buffer.alloc(LIMITS.csrBytesMax + 1);
    await expect(verifyCertificateRequest(long)).rejects.toMatchObject({ code: 'TOO_LARGE' });
  });

  it('that asks for names and usages gets none of them', async () => {
    const keys = await webcrypto.subtle.generateKey(ECDSA_P256, true, ['sign', 'verify']);
    const greedy = await x509.Pkcs10CertificateRequestGenerator.create({
      name: 'CN=admin',
      keys,
      signingAlgorithm: ECDSA_P256,
      extensions: [
        new x509.BasicConstraintsExtension(true),
        new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: 'bank.example' }]),
      ],
    });
    const certificate = new X509Certificate(await issueFor(new Uint8Array(greedy.rawData)));
    expect(certificate.ca).toBe(false);
    expect(certificate.subject).not.toContain('admin');
    expect(certificate.subjectAltName).not.toContain('bank');
  });
});

describe('a client certificate', () => {
  it.each(['', 'a/b', 'a b', 'ä', '.x', 'x'.repeat(129)])('is not issued for the name %j', async (name) => {
    await expect(newClient(cluster, name)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT', field: 'name' });
  });
});

function opensslMissing(): string | null {
  try {
    execFileSync('openssl', ['version']);
    return null;
  } catch {
    return 'the openssl program is not installed';
  }
}

const missing = opensslMissing();
describe.skipIf(missing !== null)(
  `as openssl sees it${missing === null ? '' : ` (skipped: ${missing})`}`,
  () => {
    const folder = mkdtempSync(join(tmpdir(), 'holdfast-openssl-'));
    afterAll(() => rmSync(folder, { recursive: true }));
    const file = (name: string, content: string | Uint8Array) => {
      writeFileSync(join(folder, name), content);
      return join(folder, name);
    };
    const openssl = (...words: string[]) => execFileSync('openssl', words, { stdio: 'pipe' }).toString();

    it('the request is whole', async () => {
      const { csr } = await createNodeKeyAndCsr({ nodeId: newNodeId(random) });
      const path = file('node.csr', csr);
      expect(openssl('req', '-inform', 'DER', '-in', path, '-verify', '-noout', '-text')).toContain(
        'prime256v1',
      );
    });

    it('a node verifies as server and as client, a client as client only', async () => {
      const ca = file('ca.pem', pemOf(cluster.authority.certificate));
      const node = file('node.pem', pemOf((await newNode(cluster)).certificate));
      const client = file('client.pem', pemOf((await newClient(cluster, 'admin')).certificate));
      const verify = (purpose: string, path: string) =>
        openssl('verify', '-x509_strict', '-CAfile', ca, '-purpose', purpose, path);
      expect(verify('sslserver', node)).toContain('OK');
      expect(verify('sslclient', node)).toContain('OK');
      expect(verify('sslclient', client)).toContain('OK');
      expect(() => verify('sslserver', client)).toThrow(/purpose/);
      const text = openssl('x509', '-in', node, '-noout', '-text');
      expect(text).toContain('TLS Web Server Authentication, TLS Web Client Authentication');
      expect(text).toContain('CA:FALSE');
      expect(openssl('x509', '-in', ca, '-noout', '-text')).toContain('CA:TRUE, pathlen:0');
    });

    it('a key that openssl made and asked for is certified too', async () => {
      const key = generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey;
      const keyPath = file('other.key', key.export({ format: 'pem', type: 'pkcs8' }));
      const csr = join(folder, 'other.csr');
      openssl('req', '-new', '-key', keyPath, '-subj', '/CN=x', '-outform', 'DER', '-out', csr);
      const certificate = new X509Certificate(await issueFor(readFileSync(csr)));
      expect(certificate.publicKey.equals(createPublicKey(key))).toBe(true);
    });
  },
);
