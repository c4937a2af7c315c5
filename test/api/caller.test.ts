import { X509Certificate } from 'node:crypto';
import type { PeerCertificate } from 'node:tls';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Callers, type IncomingCall } from '../../src/api/caller.ts';
import { OpenStreams } from '../../src/api/openStreams.ts';
import { ManualClock } from '../../src/base/clock.ts';
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
let reads: number;
beforeEach(() => {
  clock = new ManualClock(endMs - 1);
  reads = 0;
  const counted: typeof identify = (der) => {
    reads += 1;
    return identify(der);
  };
  callers = new Callers({ identify: counted, clock });
});

function callBy(shown: X509Certificate | null): IncomingCall {
  const { raw, fingerprint256 } = shown ?? certificate;
  const sslPeerCertificate = shown === null ? undefined : ({ raw, fingerprint256 } as PeerCertificate);
  return { getPeer: () => '127.0.0.1:1', getAuthContext: () => ({ sslPeerCertificate }) };
}

describe('a caller', () => {
  it('is who the certificate names, which is read once', () => {
    const principal = { kind: 'client', name: 'alice', address: '127.0.0.1:1' };
    expect(callers.principal(callBy(certificate))).toEqual(principal);
    expect(callers.principal(callBy(certificate))).toEqual(principal);
    expect(reads).toBe(1);
  });

  it('is nobody on a connection that stands when its certificate has ended', () => {
    const call = callBy(certificate);
    callers.principal(call);
    clock.jumpWall(1);
    callers.principal(call);
    clock.jumpWall(1);
    expect(() => callers.principal(call)).toThrow(
      expect.objectContaining({
        code: 'UNAUTHENTICATED',
        message: `not a client of this cluster: the certificate expired at ${new Date(endMs).toISOString()}`,
      }),
    );
    expect(reads).toBe(1);
    // The clock was wrong.
    clock.jumpWall(-1);
    callers.principal(call);
  });
});

describe('a stream', () => {
  it('is over when the certificate of its caller has ended, and those of others are not', () => {
    const drained: string[] = [];
    const streams = new OpenStreams();
    const endsMs = [callers.endMs(callBy(certificate)), Number.POSITIVE_INFINITY];
    expect(endsMs[0]).toBe(endMs);
    for (const [at, ends] of endsMs.entries()) streams.add({ drain: () => drained.push(`${at}`) }, ends);
    streams.drainExpired(endMs);
    expect(drained).toEqual([]);
    streams.drainExpired(endMs + 1);
    expect(drained).toEqual(['0']);
  });

  it('of who shows no certificate is over at once', () => {
    expect(callers.endMs(callBy(null))).toBe(Number.NEGATIVE_INFINITY);
  });
});
