import { describe, expect, it } from 'vitest';
import { ManualClock } from '../../../src/base/clock.ts';
import { LIMITS } from '../../../src/base/limits.ts';
import { checkCertificate } from '../../../src/node/doctor/certificate.ts';
import { checkClock, checkClockAgainst } from '../../../src/node/doctor/clock.ts';
import { pemOf } from '../../../src/trust/tls.ts';
import { newCluster, newNode } from '../../trust/cluster.ts';

describe('the clock', () => {
  it.each([
    [Date.UTC(1970, 0, 1), 'failure'],
    [Date.UTC(2025, 0, 1) - 1, 'failure'],
    [Date.UTC(2025, 0, 1), 'ok'],
    [Date.UTC(2100, 0, 1) - 1, 'ok'],
    [Date.UTC(2100, 0, 1), 'failure'],
  ])('at %i is %s', (nowMs, severity) => {
    expect(checkClock(new ManualClock(nowMs)).severity).toBe(severity);
  });

  const most = LIMITS.clockAheadMsMax;
  it.each([
    [0, 'ok'],
    [most, 'ok'],
    [most + 1, 'failure'],
    [-most, 'ok'],
    [-most - 1, 'failure'],
  ])('of a node that is %i ms away is %s', (awayMs, severity) => {
    const [askedMs, answeredMs] = [1_000_000, 1_000_500];
    const theirMs = awayMs > 0 ? answeredMs + awayMs : askedMs + awayMs;
    const finding = checkClockAgainst({ name: 'n1', theirMs, askedMs, answeredMs });
    expect(finding.severity).toBe(severity);
  });
});

describe('a certificate', () => {
  it('is well, then ends soon, then has ended', async () => {
    const dayMs = 86_400_000;
    const clock = new ManualClock(Date.UTC(2030, 0, 1));
    const { certificate } = await newNode(await newCluster(clock), { clock, lifetimeMs: 30 * dayMs });
    const severity = () =>
      checkCertificate(pemOf(certificate), { check: 'certificate', whose: 'it', mend: 'renew', clock })
        .severity;
    expect(severity()).toBe('ok');
    clock.advance(21 * dayMs);
    expect(severity()).toBe('warning');
    clock.advance(10 * dayMs);
    expect(severity()).toBe('failure');
    clock.advance(-40 * dayMs);
    expect(severity()).toBe('failure');
  });

  it('is a failure when it is none', () => {
    const clock = new ManualClock();
    expect(checkCertificate('x', { check: 'c', whose: 'it', mend: 'm', clock }).severity).toBe('failure');
  });
});
