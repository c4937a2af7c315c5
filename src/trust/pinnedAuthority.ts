import { timingSafeEqual, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import tls from 'node:tls';
import { parseAddress } from '../base/address.ts';
import { assert } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import { HoldfastError } from '../base/errors.ts';
import { requireIssuedBy, requireValidNow } from './identity.ts';
import { spkiHash as spkiHashOf } from './publicKey.ts';

export interface PinnedAuthorityOptions {
  /** host:port */
  readonly address: string;
  /** 32 bytes: SHA-256 of the SubjectPublicKeyInfo of the CA that must be presented. */
  readonly spkiHash: Uint8Array;
  /** On the monotonic clock. */
  readonly deadlineMs: number;
  readonly clock: Clock;
}

/** More than leaf, CA and the CA again is no chain of ours. */
const CHAIN_LENGTH_MAX = 4;

/**
 * The CA (DER) that the server at an address presents, once it has been found to be the pinned one and to have
 * signed the server's own certificate. Nothing is sent and nothing but the chain is read: the caller then opens its
 * real connection with this CA as the only root and with verification on.
 * @throws HoldfastError CERTIFICATE_INVALID when the chain is another, is expired or is for another host;
 *   UNAVAILABLE when there is no TLS 1.3 server or it does not answer before the deadline
 */
export async function fetchPinnedAuthority(options: PinnedAuthorityOptions): Promise<Buffer> {
  const { address, spkiHash, clock } = options;
  assert(spkiHash.length === 32, 'a pin has 32 bytes');
  const { host, port } = parseAddress(address, 'address');
  const timeoutMs = options.deadlineMs - clock.monotonicMs();
  if (timeoutMs <= 0) throw unreachable(address, 'there was no time left to ask it');
  const [leaf, ...rest] = await presentedChain({ address, host, port, timeoutMs });
  const authority = rest.find((certificate) => timingSafeEqual(spkiHashOf(certificate.raw), spkiHash));
  if (leaf === undefined || authority === undefined) {
    throw new HoldfastError('CERTIFICATE_INVALID', `the CA presented by ${address} is not the pinned one`, {
      hint: 'The token is from before a change of the CA (make a new one: holdfast member add-token), the address belongs to another cluster, or something between answers in its place.',
    });
  }
  const certificate = new X509Certificate(leaf.raw);
  requireIssuedBy(certificate, new X509Certificate(authority.raw));
  requireValidNow(certificate, clock);
  requireHost(leaf, { host, address });
  return Buffer.from(authority.raw);
}

function requireHost(leaf: tls.PeerCertificate, { host, address }: { host: string; address: string }): void {
  if (tls.checkServerIdentity(host, leaf) === undefined) return;
  throw new HoldfastError('CERTIFICATE_INVALID', `the certificate presented by ${address} does not name it`, {
    hint: `Its names are ${leaf.subjectaltname ?? 'none'}; advertise one of them, or have ${host} added.`,
  });
}

interface Dial {
  readonly address: string;
  readonly host: string;
  readonly port: number;
  readonly timeoutMs: number;
}

/** What the server presents, leaf first, none of it verified. */
function presentedChain({
  address,
  host,
  port,
  timeoutMs,
}: Dial): Promise<readonly tls.DetailedPeerCertificate[]> {
  return new Promise((resolve, reject) => {
    const socket = tls.connect({
      host,
      port,
      ...(isIP(host) === 0 ? { servername: host } : {}),
      ALPNProtocols: ['h2'],
      minVersion: 'TLSv1.3',
      // The chain is checked against the pin above before anything is sent. This is the only place with this setting.
      rejectUnauthorized: false,
    });
    const timer = setTimeout(() => {
      finish();
      reject(unreachable(address, `it did not answer within ${Math.ceil(timeoutMs)} ms`));
    }, timeoutMs);
    const finish = () => {
      clearTimeout(timer);
      socket.destroy();
    };
    socket.once('secureConnect', () => {
      const chain = chainOf(socket.getPeerCertificate(true));
      finish();
      resolve(chain);
    });
    socket.once('close', () => {
      finish();
      reject(unreachable(address, 'it closed the connection'));
    });
    socket.on('error', (cause) => {
      finish();
      reject(unreachable(address, cause.message, cause));
    });
  });
}

function chainOf(leaf: tls.DetailedPeerCertificate): readonly tls.DetailedPeerCertificate[] {
  const chain: tls.DetailedPeerCertificate[] = [];
  let next: tls.DetailedPeerCertificate | undefined = leaf;
  while (next?.raw !== undefined && chain.length < CHAIN_LENGTH_MAX && !chain.includes(next)) {
    chain.push(next);
    next = next.issuerCertificate;
  }
  return chain;
}

function unreachable(address: string, why: string, cause?: unknown): HoldfastError {
  return new HoldfastError('UNAVAILABLE', `${address} cannot be reached over TLS 1.3: ${why}`, {
    hint: 'Check that the address is right, that the node runs, and that its peer port is open from here.',
    cause,
  });
}
