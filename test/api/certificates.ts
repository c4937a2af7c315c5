import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import type { ServerCredentials } from '@grpc/grpc-js';
import * as x509 from '@peculiar/x509';
import type { Identity } from '../../src/api/caller.ts';
import { HoldfastError } from '../../src/base/errors.ts';
import { serverCredentials as nodeServerCredentials, TlsMaterialHolder } from '../../src/trust/tls.ts';

const CLUSTER = '00000000000000c1';
const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;

x509.cryptoProvider.set(webcrypto as never);

/** When a certificate is valid, with an hour to spare on both sides of this moment. */
export type Validity = 'no longer' | 'now' | 'not yet';

export interface Pem {
  readonly certificate: string;
  readonly privateKey: string;
}

/** A throw-away authority and what it issues. */
export class TestAuthority {
  readonly pem: string;
  readonly #keys: webcrypto.CryptoKeyPair;
  readonly #name: string;
  #serial = 1;

  private constructor(parts: { pem: string; keys: webcrypto.CryptoKeyPair; name: string }) {
    this.pem = parts.pem;
    this.#keys = parts.keys;
    this.#name = parts.name;
  }

  static async create(name = 'CN=test authority'): Promise<TestAuthority> {
    const keys = await newKeys();
    const certificate = await x509.X509CertificateGenerator.createSelfSigned({
      serialNumber: '01',
      name,
      ...lifetime(),
      signingAlgorithm: ALGORITHM,
      keys,
      extensions: [
        new x509.BasicConstraintsExtension(true, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
      ],
    });
    return new TestAuthority({ pem: certificate.toString('pem'), keys, name });
  }

  client(name: string, valid: Validity = 'now'): Promise<Pem> {
    return this.#issue({ subject: `CN=${name}`, uri: `holdfast://${CLUSTER}/client/${name}`, valid });
  }

  node(nodeId: string): Promise<Pem> {
    return this.#issue({ subject: `CN=${nodeId}`, uri: `holdfast://${CLUSTER}/node/${nodeId}` });
  }

  server(
    hosts: readonly ('127.0.0.1' | '::1' | 'localhost' | '127.0.0.2')[] = ['127.0.0.1', 'localhost'],
  ): Promise<Pem> {
    return this.#issue({ subject: 'CN=server', uri: `holdfast://${CLUSTER}/node/0000000000000001`, hosts });
  }

  async #issue(what: {
    subject: string;
    uri: string;
    hosts?: readonly string[];
    valid?: Validity;
  }): Promise<Pem> {
    const keys = await newKeys();
    this.#serial += 1;
    const names: x509.JsonGeneralName[] = [{ type: 'url', value: what.uri }];
    for (const host of what.hosts ?? [])
      names.push({ type: host === 'localhost' ? 'dns' : 'ip', value: host });
    const certificate = await x509.X509CertificateGenerator.create({
      serialNumber: this.#serial.toString(16).padStart(4, '0'),
      subject: what.subject,
      issuer: this.#name,
      ...lifetime(what.valid),
      signingAlgorithm: ALGORITHM,
      publicKey: keys.publicKey,
      signingKey: this.#keys.privateKey,
      extensions: [new x509.SubjectAlternativeNameExtension(names)],
    });
    const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey));
    return {
      certificate: certificate.toString('pem'),
      privateKey: x509.PemConverter.encode(pkcs8, 'PRIVATE KEY'),
    };
  }
}

/** As a node has them. */
export function serverCredentials(authority: TestAuthority, server: Pem): ServerCredentials {
  const material = {
    ca: Buffer.from(authority.pem),
    cert: Buffer.from(server.certificate),
    key: Buffer.from(server.privateKey),
  };
  return nodeServerCredentials(new TlsMaterialHolder(material), { clientWithoutCertificate: 'accepted' });
}

/** What the trust folder does for a real node: the one URI SAN of the certificate. */
export function identify(certificateDer: Uint8Array): Identity {
  const certificate = new x509.X509Certificate(new Uint8Array(certificateDer));
  const names = certificate.getExtension(x509.SubjectAlternativeNameExtension)?.names.items ?? [];
  const uri = names.find((name) => name.type === 'url')?.value ?? '';
  const [, kind, name] = /^holdfast:\/\/[0-9a-f]{16}\/(node|client)\/(.+)$/.exec(uri) ?? [];
  if (kind === 'client' && name !== undefined) return { kind: 'client', name };
  if (kind === 'node') return { kind: 'nobody', reason: 'a node is no client' };
  throw new HoldfastError('CERTIFICATE_INVALID', 'no identity in the certificate');
}

const HOUR_MS = 3_600_000;

function lifetime(valid: Validity = 'now') {
  const [from, to] = { 'no longer': [-2, -1], now: [-1, 1], 'not yet': [1, 2] }[valid];
  const at = (hours = 0): Date => new Date(Date.now() + hours * HOUR_MS);
  return { notBefore: at(from), notAfter: at(to) };
}

async function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
}
