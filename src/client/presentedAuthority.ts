import { timingSafeEqual, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import tls from 'node:tls';
import { parseAddress } from '../base/address.ts';
import { authorityFingerprint } from '../base/authorityFingerprint.ts';
import { HoldfastError } from '../base/errors.ts';

/** More than leaf, CA and the CA again is no chain of ours. */
const CHAIN_LENGTH_MAX = 4;

/**
 * The CA (PEM) that a server presents, for who does not know the cluster yet: nothing is sent and nothing but the chain is
 * read. The caller compares the fingerprint, and only then opens a real connection with this CA as the only root.
 * @param fingerprint of the CA that must be among those presented; null: any, to be shown to a person
 * @throws HoldfastError CERTIFICATE_INVALID; UNAVAILABLE when there is no TLS 1.3 server or it does not answer in time
 */
export async function presentedAuthority(options: {
  /** host:port */
  readonly address: string;
  readonly fingerprint: string | null;
  readonly timeoutMs: number;
}): Promise<{ readonly pem: string; readonly fingerprint: string }> {
  const { address, fingerprint } = options;
  const [leaf, ...rest] = await presentedChain(options);
  const authorities = rest.filter(({ ca }) => ca);
  const wanted = authorities.find(({ raw }) => fingerprint === null || isSame(raw, fingerprint));
  if (leaf === undefined || wanted === undefined || !isIssuedBy(leaf, wanted)) {
    const shown = authorities.map(({ raw }) => authorityFingerprint(raw)).join(', ') || 'none';
    throw new HoldfastError(
      'CERTIFICATE_INVALID',
      `the CA presented by ${address} is another one: ${shown}`,
      {
        field: 'ca-fingerprint',
        hint: 'holdfast init has shown it, and holdfast cluster rotate-ca --status does; if it is right, something between answers in place of the cluster',
      },
    );
  }
  return { pem: wanted.toString(), fingerprint: authorityFingerprint(wanted.raw) };
}

function isSame(certificate: Uint8Array, fingerprint: string): boolean {
  const [shown, wanted] = [Buffer.from(authorityFingerprint(certificate)), Buffer.from(fingerprint)];
  return shown.length === wanted.length && timingSafeEqual(shown, wanted);
}

function isIssuedBy(leaf: X509Certificate, authority: X509Certificate): boolean {
  return leaf.checkIssued(authority) && leaf.verify(authority.publicKey);
}

/** What the server presents, leaf first, none of it verified. */
function presentedChain({
  address,
  timeoutMs,
}: {
  readonly address: string;
  readonly timeoutMs: number;
}): Promise<readonly X509Certificate[]> {
  const { host, port } = parseAddress(address, 'url');
  return new Promise((resolve, reject) => {
    const socket = tls.connect({
      host,
      port,
      ...(isIP(host) === 0 ? { servername: host } : {}),
      ALPNProtocols: ['h2'],
      minVersion: 'TLSv1.3',
      // Nothing is sent on this connection; the chain is compared with a fingerprint, or shown to a person.
      rejectUnauthorized: false,
    });
    const fail = (why: string, cause?: unknown): void => {
      clearTimeout(timer);
      socket.destroy();
      reject(unreachable(address, why, cause));
    };
    const timer = setTimeout(() => fail(`it did not answer within ${timeoutMs} ms`), timeoutMs);
    socket.once('secureConnect', () => {
      const chain = chainOf(socket.getPeerCertificate(true));
      clearTimeout(timer);
      socket.destroy();
      resolve(chain);
    });
    socket.once('close', () => fail('it closed the connection'));
    socket.on('error', (cause) => fail(cause.message, cause));
  });
}

function chainOf(leaf: tls.DetailedPeerCertificate): readonly X509Certificate[] {
  const chain: tls.DetailedPeerCertificate[] = [];
  let next: tls.DetailedPeerCertificate | undefined = leaf;
  while (next?.raw !== undefined && chain.length < CHAIN_LENGTH_MAX && !chain.includes(next)) {
    chain.push(next);
    next = next.issuerCertificate;
  }
  return chain.map(({ raw }) => new X509Certificate(raw));
}

function unreachable(address: string, why: string, cause?: unknown): HoldfastError {
  return new HoldfastError('UNAVAILABLE', `${address} cannot be reached over TLS 1.3: ${why}`, {
    hint: 'check that the address is that of the API port of a node, and that it runs',
    cause,
  });
}
