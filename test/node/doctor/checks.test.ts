import { tmpdir } from 'node:os';
import { describe, expect, it } from 'vitest';
import { ManualClock } from '../../../src/base/clock.ts';
import { LIMITS } from '../../../src/base/limits.ts';
import { dataDirectory } from '../../../src/node/dataDirectory.ts';
import { checkCertificate } from '../../../src/node/doctor/certificate.ts';
import { checkClock, checkClocks } from '../../../src/node/doctor/clock.ts';
import { accessFinding, checkDisk, typeFinding } from '../../../src/node/doctor/directory.ts';
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
});

describe('the clocks of the nodes', () => {
  /** Asked at 1,000,000, answered half a second later, of a clock that is `awayMs` off. */
  const reading = (name: string, awayMs: number) => {
    const [askedMs, answeredMs] = [1_000_000, 1_000_500];
    return { name, theirMs: (awayMs > 0 ? answeredMs : askedMs) + awayMs, askedMs, answeredMs };
  };
  const most = LIMITS.clockAheadMsMax;
  const advised = LIMITS.clockApartMsAdvised;

  it.each([
    [0, 'ok'],
    [advised, 'ok'],
    [advised + 1, 'warning'],
    [-advised - 1, 'warning'],
    [most, 'warning'],
    [most + 1, 'failure'],
    [-most - 1, 'failure'],
  ])('of which one is %i ms away are %s', (awayMs, severity) => {
    const [finding] = checkClocks([reading('n1', 0), reading('n2', awayMs)]);
    expect(finding?.severity).toBe(severity);
    if (severity !== 'ok') {
      expect(finding?.message).toContain('n2');
      expect(finding?.mend).toBe('timedatectl set-ntp true');
    }
  });

  it('count against each other, though each is near enough to this machine', () => {
    const [finding] = checkClocks([reading('n1', -advised), reading('n2', advised)]);
    expect(finding).toMatchObject({ severity: 'warning' });
    expect(finding?.message).toBe('the clocks of n1 and n2 are 1.0 s apart');
  });

  it('are not judged when no node answers', () => {
    expect(checkClocks([])).toEqual([]);
  });
});

describe('the data directory', () => {
  const uid = process.getuid?.() ?? 0;

  it.each([
    [{ uid, mode: 0o40700 }, null],
    [{ uid, mode: 0o40710 }, "warning: chmod 0700 '/data'"],
    [{ uid, mode: 0o40704 }, "warning: chmod 0700 '/data'"],
    [{ uid: uid + 1, mode: 0o40700 }, `failure: chown -R ${uid} '/data'`],
  ])('with %o', (stats, expected) => {
    const finding = accessFinding('/data', stats);
    expect(finding === null ? null : `${finding.severity}: ${finding.mend}`).toBe(expected);
  });

  it.each([
    [0xef53, 'ok', null],
    [0x0102_1994, 'warning', 'holdfast server --data-dir DIRECTORY'],
    [0x6969, 'warning', 'holdfast server --data-dir DIRECTORY'],
  ])('on a file system of type %i is %s', (type, severity, mend) => {
    expect(typeFinding('/data', type)).toMatchObject({ severity, mend });
  });

  it('on a disk with less free than the reserve turns writes away', async () => {
    const [disk] = await checkDisk(dataDirectory(tmpdir()), { diskReserveBytes: 2 ** 60 });
    expect(disk).toMatchObject({ check: 'disk', severity: 'failure', mend: `df -h '${tmpdir()}'` });
    expect(disk?.message).toContain('down to the reserve of');
  });
});

describe('a certificate', () => {
  const subject = { check: 'certificate', whose: 'it' };

  it('is well, then ends soon, then has ended', async () => {
    const dayMs = 86_400_000;
    const clock = new ManualClock(Date.UTC(2030, 0, 1));
    const { certificate } = await newNode(await newCluster(clock), { clock, lifetimeMs: 30 * dayMs });
    const judged = () => {
      const mends = { mendEnding: 'renew', mendEnded: 'replace' };
      const { severity, mend } = checkCertificate(pemOf(certificate), { ...subject, ...mends, clock });
      return { severity, mend };
    };
    clock.advance(20 * dayMs - 600_000);
    expect(judged()).toEqual({ severity: 'ok', mend: null });
    clock.advance(600_000);
    expect(judged()).toEqual({ severity: 'warning', mend: 'renew' });
    clock.advance(10 * dayMs - 1);
    expect(judged()).toEqual({ severity: 'warning', mend: 'renew' });
    clock.advance(2);
    expect(judged()).toEqual({ severity: 'failure', mend: 'replace' });
    clock.advance(-40 * dayMs);
    expect(judged()).toEqual({ severity: 'failure', mend: 'timedatectl set-ntp true' });
  });

  it('is a failure when it is none', () => {
    const clock = new ManualClock();
    const mends = { mendEnding: 'renew', mendEnded: 'replace' };
    expect(checkCertificate('x', { ...subject, ...mends, clock }).severity).toBe('failure');
  });
});
