import { describe, expect, it } from 'vitest';
import { ManualClock } from '../../../src/base/clock.ts';
import { HoldfastError } from '../../../src/base/errors.ts';
import { LIMITS } from '../../../src/base/limits.ts';
import type { NodeReport } from '../../../src/client/index.ts';
import { examineCluster } from '../../../src/node/doctor/cluster/examine.ts';
import { clusterView } from '../../../src/node/doctor/cluster/view.ts';
import type { Finding } from '../../../src/node/doctor/finding.ts';
import type { FencedMember, MemberStatus, StatusResponse } from '../../../src/proto/cluster.ts';

const GIB = 1024 ** 3;
const DISK = { reserveBytes: LIMITS.diskReserveBytes, freeBytes: 100 * GIB, low: false };
const apiOf = (name: string) => `${name}.example:7440`;

function member(name: string, change: Partial<MemberStatus> = {}): MemberStatus {
  return {
    nodeId: `id-${name}`,
    name,
    peerAddress: `${name}.example:7441`,
    apiAddress: apiOf(name),
    role: 'voter',
    leader: name === 'n1',
    matchIndex: 5_000,
    reachable: true,
    suspect: false,
    ...change,
  };
}

function status(name: string, change: Partial<StatusResponse> = {}): StatusResponse {
  return {
    clusterId: 'c',
    nodeId: `id-${name}`,
    name,
    version: '0',
    role: name === 'n1' ? 'leader' : 'follower',
    term: 3,
    leader: 'id-n1',
    commitIndex: 5_000,
    appliedIndex: 5_000,
    durableIndex: 5_000,
    revision: 1,
    compactedRevision: 0,
    digest: '',
    encryption: 'on',
    controlKeyFingerprint: 'sha256:control',
    jwtSecretFingerprint: 'sha256:jwt',
    logTimeMs: 0,
    wallTimeMs: 0,
    keys: 0,
    watches: 0,
    members: ['n1', 'n2', 'n3'].map((one) => member(one)),
    warnings: [],
    uptimeMs: 0,
    disk: DISK,
    log: { lastIndex: 5_000, lastHash: '', suspect: false, suspectUntil: 0 },
    fenced: [],
    ...change,
  };
}

const answers = (one: StatusResponse): NodeReport => ({ endpoint: apiOf(one.name), status: one });
const silent = (name: string): NodeReport => ({
  endpoint: apiOf(name),
  error: new HoldfastError('UNAVAILABLE', 'nobody listens there'),
});
const fenced = (name: string, code = 'JWT_SECRET_MISMATCH'): FencedMember => ({
  nodeId: `id-${name}`,
  name,
  code,
  reason: `${code} of ${name}`,
  hint: '',
  sinceMs: 1,
});

function findings(reports: readonly NodeReport[]): readonly Finding[] {
  return examineCluster({ view: clusterView(reports), readings: [], certificates: [] }, new ManualClock());
}

/** What is not well, without the sentence. */
function troubles(reports: readonly NodeReport[]): readonly string[] {
  return findings(reports)
    .filter(({ severity }) => severity !== 'ok')
    .map(({ check, severity, mend }) => `${severity} ${check}: ${mend}`);
}

const messageOf = (reports: readonly NodeReport[], check: string): string =>
  findings(reports).find((one) => one.check === check && one.severity !== 'ok')?.message ?? '';

/** Three nodes, of which `changes` says how each differs from a sound one. */
function three(changes: Readonly<Record<string, Partial<StatusResponse>>> = {}): readonly NodeReport[] {
  return ['n1', 'n2', 'n3'].map((name) => answers(status(name, changes[name])));
}

/** As the leader sees its members. */
function seenByLeader(...members: readonly MemberStatus[]): readonly NodeReport[] {
  return [
    answers(status('n1', { members })),
    ...members.slice(1).map(({ name }) => answers(status(name, { members }))),
  ];
}

const START = 'holdfast server';

describe('a sound cluster', () => {
  it('has nothing to be mended, and every check says so', () => {
    expect(troubles(three())).toEqual([]);
    expect(findings(three()).map(({ check }) => check)).toEqual([
      'members',
      'quorum',
      'same control key',
      'same JWT secret',
      'same encryption',
      'disks',
      'disks',
      'disks',
    ]);
  });

  it('counts a node once that two endpoints lead to', () => {
    expect(findings([...three(), { endpoint: 'localhost:7440', status: status('n1') }])).toEqual(
      findings(three()),
    );
  });
});

describe('members', () => {
  it('that do not answer are named, and where to look', () => {
    const members = [member('n1'), member('n2'), member('n3', { reachable: false })];
    const reports = [answers(status('n1', { members })), answers(status('n2')), silent('n3')];
    expect(troubles(reports)).toEqual([`warning members: ${START}`, `warning quorum: ${START}`]);
    expect(messageOf(reports, 'members')).toBe('n3 does not answer: nobody listens there');
  });

  it('that the leader does not hear are named though they answer us', () => {
    const members = [member('n1'), member('n2'), member('n3', { reachable: false })];
    const reports = seenByLeader(...members);
    expect(troubles(reports)).toEqual([`warning members: ${START}`, `warning quorum: ${START}`]);
    expect(messageOf(reports, 'members')).toBe('n3 is not heard by the leader at n3.example:7441');
  });

  it('are told from endpoints of the context at which none listens', () => {
    expect(troubles([...three(), silent('old')])).toEqual([
      `warning members: export HOLDFAST_ENDPOINTS=${['n1', 'n2', 'n3'].map(apiOf).join(',')}`,
    ]);
  });

  it('of which none answers are one finding', () => {
    const reports = [silent('n1'), silent('n2')];
    expect(troubles(reports)).toEqual([`warning cluster: ${START}`]);
    expect(messageOf(reports, 'cluster')).toContain(apiOf('n2'));
  });
});

describe('learners', () => {
  const withLearner = (change: Partial<MemberStatus>) =>
    seenByLeader(member('n1'), member('n2'), member('n3'), member('n4', { role: 'learner', ...change }));
  const most = LIMITS.learnerCatchUpEntriesMax;

  it.each([
    ['that are near the leader are well', { matchIndex: 5_000 - most }, []],
    [
      'that are behind are named',
      { matchIndex: 5_000 - most - 1 },
      ['warning learners: holdfast member list'],
    ],
    [
      'that do not take part are to be removed',
      { reachable: false },
      ['warning learners: holdfast member remove n4'],
    ],
  ])('%s', (_what, change, expected) => {
    expect(troubles(withLearner(change))).toEqual(expected);
  });
});

describe('the quorum', () => {
  const ADD = 'holdfast member add-token --role voter';
  const voters = (count: number, down: number) =>
    Array.from({ length: count }, (_, i) => member(`n${i + 1}`, { reachable: i < count - down }));

  it.each([
    [1, 0, [`warning quorum: ${ADD}`]],
    [2, 0, [`warning quorum: ${ADD}`, `notice voters: ${ADD}`]],
    [3, 0, []],
    [4, 0, [`notice voters: ${ADD}`]],
    [5, 0, []],
    [5, 1, [`warning members: ${START}`]],
    [5, 2, [`warning members: ${START}`, `warning members: ${START}`, `warning quorum: ${START}`]],
    [3, 2, [`warning members: ${START}`, `warning members: ${START}`, `failure quorum: ${START}`]],
  ])('of %i voters with %i down', (count, down, expected) => {
    const members = voters(count, down);
    const reports = members.slice(0, count - down).map(({ name }) => answers(status(name, { members })));
    const gone = members.slice(count - down).map(({ name }) => silent(name));
    expect(troubles([...reports, ...gone])).toEqual(expected);
  });

  it('is judged by who answers when no leader does', () => {
    const follower = { role: 'follower', leader: '' };
    const lost = [silent('n1'), answers(status('n2', follower)), silent('n3')];
    expect(troubles(lost)).toContain(`failure quorum: ${START}`);
    expect(messageOf(lost, 'quorum')).toBe(
      '1 of 3 voters take part and 2 are needed: nothing can be written; missing: n1, n3',
    );
    const leaderless = [silent('n1'), answers(status('n2', follower)), answers(status('n3', follower))];
    expect(troubles(leaderless)).toContain('failure quorum: holdfast status');
  });

  it('believes those who name a leader that does not answer us', () => {
    expect(troubles([silent('n1'), answers(status('n2')), answers(status('n3'))])).toEqual([
      `warning members: ${START}`,
    ]);
  });

  it('does not count a voter whose log is suspect', () => {
    const members = [member('n1'), member('n2'), member('n3', { suspect: true })];
    expect(messageOf(seenByLeader(...members), 'quorum')).toContain('missing: n3');
  });

  it('offers a learner that is there already', () => {
    const learner = member('n3', { role: 'learner' });
    expect(troubles(seenByLeader(member('n1'), member('n2'), learner))).toEqual([
      'warning quorum: holdfast member promote n3',
      'notice voters: holdfast member promote n3',
    ]);
  });
});

describe('what all nodes share', () => {
  it.each([
    ['same control key', { controlKeyFingerprint: 'sha256:x' }, 'holdfast server --control-key-path FILE'],
    ['same JWT secret', { jwtSecretFingerprint: 'sha256:x' }, 'holdfast server --jwt-secret-path FILE'],
    ['same encryption', { encryption: 'off' }, 'holdfast member remove n3'],
  ])('%s', (check, change, mend) => {
    expect(troubles(three({ n3: change }))).toEqual([`failure ${check}: ${mend}`]);
    expect(messageOf(three({ n3: change }), check)).toMatch(
      /^n3 has (sha256:x|off), the cluster (sha256:\w+|on)$/,
    );
  });

  it('is what the leader has, and without one what most have', () => {
    const odd = { controlKeyFingerprint: 'sha256:x' };
    expect(messageOf(three({ n1: odd }), 'same control key')).toMatch(/^n2 has sha256:control/);
    const follower = { role: 'follower' };
    const leaderless = three({ n1: { ...odd, ...follower } });
    expect(messageOf(leaderless, 'same control key')).toBe('n1 has sha256:x, the cluster sha256:control');
  });

  it('is not asked of a release that does not tell it', () => {
    expect(troubles(three({ n3: { jwtSecretFingerprint: '' } }))).toEqual([]);
  });
});

describe('fenced members', () => {
  it.each([
    ['JWT_SECRET_MISMATCH', 'holdfast server --jwt-secret-path FILE'],
    ['CONTROL_KEY_MISMATCH', 'holdfast server --control-key-path FILE'],
    ['VERSION_UNSUPPORTED', 'holdfast version'],
    ['ENCRYPTION_MISMATCH', 'holdfast member remove n3'],
    ['NODE_ID_REUSED', 'systemctl stop holdfast  # where a copy of the data directory of n3 runs'],
  ])('are a failure each, once: %s', (code, mend) => {
    const reports = three({
      n1: { fenced: [fenced('n3', code)], warnings: [`n3 is fenced: ${code} of n3`, 'something else'] },
      n2: { fenced: [fenced('n3', code)] },
      n3: { fenced: [fenced('n1', code), fenced('n2', code)], leader: '' },
    });
    expect(troubles(reports)).toEqual([`failure fenced: ${mend}`, 'warning status: holdfast status']);
    expect(messageOf(reports, 'fenced')).toBe(`n3 is fenced by n1, n2, ${code}: ${code} of n3`);
  });

  it('are not told a second time as not heard', () => {
    const members = [member('n1'), member('n2'), member('n3', { reachable: false })];
    const reports = [
      answers(status('n1', { members, fenced: [fenced('n3')] })),
      answers(status('n2')),
      answers(status('n3')),
    ];
    expect(troubles(reports).map((text) => text.split(':')[0])).toEqual(['warning quorum', 'failure fenced']);
  });
});

describe('disks', () => {
  it.each([
    [LIMITS.diskFreeBytesAdvised, []],
    [LIMITS.diskFreeBytesAdvised - 1, ['warning disks: df -h']],
    [LIMITS.diskFreeBytesMin - 1, ['failure disks: df -h']],
  ])('with %i bytes free', (freeBytes, expected) => {
    expect(troubles(three({ n2: { disk: { ...DISK, freeBytes } } }))).toEqual(expected);
  });

  it('below the reserve turn writes away, and that is said', () => {
    const reports = three({ n2: { disk: { ...DISK, freeBytes: 0, low: true } } });
    expect(messageOf(reports, 'disks')).toMatch(
      /^only 0\.0 GiB are free on n2: down to the reserve of 256MiB/,
    );
    const notYetAgain = three({ n2: { disk: { ...DISK, low: true } } });
    expect(troubles(notYetAgain)).toEqual(['failure disks: df -h']);
  });

  it('that a node has not looked at yet are not judged', () => {
    expect(troubles(three({ n2: { disk: { ...DISK, freeBytes: 0 } } }))).toEqual([]);
  });
});
