import { X509Certificate } from 'node:crypto';
import type { PeerCertificate } from 'node:tls';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Callers, type IncomingCall } from '../../src/api/caller.ts';
import { OpenStreams } from '../../src/api/openStreams.ts';
import type { Refusal } from '../../src/api/ports.ts';
import { ManualClock } from '../../src/base/clock.ts';
import { HoldfastError } from '../../src/base/errors.ts';
import { identify, TestAuthority } from './certificates.ts';

let certificate: X509Certificate;
let endMs: number;
beforeAll(async () => {
  const authority = await TestAuthority.create();
  certificate = new X509Certificate((await authority.client('alice')).certificate);
  endMs = Date.parse(certificate.validTo);
});

let clock: ManualClock;
let callers: Callers;
let authorization: readonly string[];
const holderOf = (token: string) =>
  Promise.resolve({ principal: { kind: 'token', name: `holder of ${token}` } });
let reads: number;
let refusals: Refusal[];
const refused = (detail: string): Refusal => ({
  principal: { kind: '', name: '', address: '127.0.0.1:1' },
  code: 'UNAUTHENTICATED',
  proved: false,
  detail,
});
beforeEach(() => {
  clock = new ManualClock(endMs - 1);
  reads = 0;
  authorization = [];
  const counted: typeof identify = (der) => {
    reads += 1;
    return identify(der);
  };
  refusals = [];
  callers = new Callers({
    identify: counted,
    holderOf,
    clock,
    onRefused: (refusal) => refusals.push(refusal),
  });
});

function callBy(shown: X509Certificate | null): IncomingCall {
  const { raw, fingerprint256 } = shown ?? certificate;
  const sslPeerCertificate = shown === null ? undefined : ({ raw, fingerprint256 } as PeerCertificate);
  const metadata = { get: () => authorization };
  return { metadata, getPeer: () => '127.0.0.1:1', getAuthContext: () => ({ sslPeerCertificate }) };
}

describe('a caller', () => {
  it('is who the certificate names, which is read once', () => {
    const principal = { kind: 'client', name: 'alice', address: '127.0.0.1:1' };
    expect(callers.certified(callBy(certificate))).toEqual(principal);
    expect(callers.certified(callBy(certificate))).toEqual(principal);
    expect(reads).toBe(1);
  });

  it('is nobody on a connection that stands when its certificate has ended', () => {
    const call = callBy(certificate);
    callers.certified(call);
    clock.jumpWall(1);
    callers.certified(call);
    clock.jumpWall(1);
    expect(() => callers.certified(call)).toThrow(
      expect.objectContaining({
        code: 'UNAUTHENTICATED',
        message: `not a client of this cluster: the certificate expired at ${new Date(endMs).toISOString()}`,
      }),
    );
    expect(reads).toBe(1);
    expect(refusals).toEqual([refused('a certificate of no client, or one that has ended')]);
    // The clock was wrong.
    clock.jumpWall(-1);
    callers.certified(call);
  });
});

describe('a caller with an access token', () => {
  it('is the holder of the token, whatever certificate the connection shows', async () => {
    authorization = ['Bearer hft_1'];
    const principal = { kind: 'token', name: 'holder of hft_1', address: '127.0.0.1:1' };
    await expect(callers.identified(callBy(certificate), 0)).resolves.toEqual({ principal });
    await expect(callers.identified(callBy(null), 0)).resolves.toEqual({ principal });
    expect(reads).toBe(0);
  });

  it.each([
    '',
    'hft_1',
    'Basic hft_1',
    'Bearer',
    'Bearer a b',
    'Bearer \0',
    `Bearer ${'a'.repeat(1_024 - 6)}`,
  ])('is nobody with the authorization %j, also with a certificate', async (text) => {
    authorization = [text];
    await expect(callers.identified(callBy(certificate), 0)).rejects.toMatchObject({
      code: 'UNAUTHENTICATED',
    });
    expect(refusals).toEqual([refused('an authorization that is not Bearer and a token')]);
  });

  it('is noted by whom it is shown to when it is not good, and not once more', async () => {
    authorization = ['Bearer hft_1'];
    const unknown = new HoldfastError('UNAUTHENTICATED', 'no such token');
    callers = new Callers({
      identify,
      holderOf: () => Promise.reject(unknown),
      clock,
      onRefused: (refusal) => refusals.push(refusal),
    });
    await expect(callers.identified(callBy(certificate), 0)).rejects.toBe(unknown);
    expect(refusals).toEqual([]);
  });
});

it('who shows neither a certificate nor a token is refused, which is recorded once', async () => {
  await expect(callers.identified(callBy(null), 0)).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
  expect(refusals).toEqual([refused('no certificate and no token')]);
});

describe('a stream', () => {
  it('is over when the certificate of its caller has ended, and those of others are not', () => {
    const drained: string[] = [];
    const streams = new OpenStreams();
    const endsMs = [callers.endMs(callBy(certificate)), Number.POSITIVE_INFINITY];
    expect(endsMs[0]).toBe(endMs);
    for (const [at, ends] of endsMs.entries())
      streams.add({ drain: () => drained.push(`${at}`) }, (wallMs) => wallMs <= ends);
    streams.drainExpired(endMs);
    expect(drained).toEqual([]);
    streams.drainExpired(endMs + 1);
    expect(drained).toEqual(['0']);
  });

  it('of who shows no certificate is over at once', () => {
    expect(callers.endMs(callBy(null))).toBe(Number.NEGATIVE_INFINITY);
  });
});
