import { describe, expect, it } from 'vitest';
import type { Area } from '../../src/access/policy/policy.ts';
import { toldMembers, toldStatus, type WholeStatus } from '../../src/node/toldStatus.ts';

const MEMBER = {
  nodeId: 'a1',
  name: 'n1',
  peerAddress: 'peer.internal:7441',
  apiAddress: 'n1.example:7440',
  role: 'voter',
  leader: true,
  matchIndex: 7,
  reachable: true,
  suspect: false,
};
const FENCED = { nodeId: 'b2', name: 'n2', code: 'X', reason: 'a reason', hint: '', sinceMs: 1 };
const SINK = {
  kind: 'http',
  host: 'logs.internal',
  deliveredSequence: 3,
  behind: 2,
  lost: 0,
  failingSinceMs: 1,
  errorCode: 'UNAVAILABLE',
  error: 'an error of logs.internal',
};
const CHANGE = {
  id: 'c1',
  kind: 'rekey',
  phase: 'preparing',
  encryption: '',
  newFingerprint: 'sha256:new',
  previousFingerprint: 'sha256:old',
  confirmed: false,
  members: [],
  startedMs: 1,
  endedMs: 0,
  problems: [],
};
const WHOLE: WholeStatus = {
  status: {
    clusterId: 'c',
    nodeId: 'a1',
    name: 'n1',
    version: '0.1.0',
    role: 'leader',
    term: 2,
    leader: 'a1',
    commitIndex: 9,
    appliedIndex: 8,
    durableIndex: 8,
    revision: 5,
    compactedRevision: 1,
    digest: 'dd',
    encryption: 'on',
    controlKeyFingerprint: 'sha256:control',
    jwtSecretFingerprint: 'sha256:jwt',
    logTimeMs: 10,
    wallTimeMs: 11,
    keys: 12,
    watches: 13,
    members: [MEMBER],
    warnings: ['a warning'],
    uptimeMs: 14,
    state: 'sound',
    disk: { reserveBytes: 1, freeBytes: 2, low: false },
    scrub: { finishedMs: 1, durationMs: 1, rows: 1, logSegments: 1, bytes: 1 },
    log: { lastIndex: 9, lastHash: 'ee', suspect: false, suspectUntil: 0 },
    fenced: [FENCED],
    keyChange: CHANGE,
    auditSink: SINK,
  },
  auditWarnings: ['rule nights-of-finance cannot be used'],
};

const tellTo = (...areas: readonly Area[]) => toldStatus(WHOLE, (area) => areas.includes(area));
/** Told to everybody. */
const OPEN =
  'clusterId nodeId name version role term leader state commitIndex appliedIndex durableIndex revision compactedRevision';
const isEmpty = (value: unknown): boolean =>
  value === null || value === '' || value === 0 || (Array.isArray(value) && value.length === 0);

describe('a status', () => {
  it('tells everybody where the nodes are, who leads and how far they are, and nothing else', () => {
    const { members, withheld, ...told } = tellTo();
    const known = Object.entries(told).filter(([, value]) => !isEmpty(value));
    expect(known.map(([name]) => name).toSorted()).toEqual(OPEN.split(' ').toSorted());
    expect(members).toEqual([{ ...MEMBER, peerAddress: '', matchIndex: 0 }]);
    expect(withheld).toEqual(['cluster', 'keys', 'audit']);
    expect(tellTo('access', 'snapshots')).toEqual(tellTo());
  });

  it('tells all to who administers all, with the warnings of the audit', () => {
    const warnings = [...WHOLE.status.warnings, ...WHOLE.auditWarnings];
    expect(tellTo('cluster', 'audit')).toEqual({ ...WHOLE.status, warnings, withheld: [] });
  });

  it('tells who administers the cluster only that something is wrong with the audit', () => {
    const { warnings, auditSink, withheld, keyChange } = tellTo('cluster');
    expect(warnings).toEqual(['a warning', expect.stringContaining('whoever administers the audit')]);
    expect([auditSink, withheld, keyChange]).toEqual([null, ['audit'], CHANGE]);
    const sound = toldStatus({ ...WHOLE, auditWarnings: [] }, (area) => area === 'cluster');
    expect(sound.warnings).toEqual(['a warning']);
  });

  it('tells who administers the audit or the keys of that alone', () => {
    const ofAudit = { auditSink: SINK, warnings: WHOLE.auditWarnings, withheld: ['cluster', 'keys'] };
    expect(tellTo('audit')).toEqual({ ...tellTo(), ...ofAudit });
    const { encryption, controlKeyFingerprint, jwtSecretFingerprint, keyChange } = WHOLE.status;
    const ofKeys = { encryption, controlKeyFingerprint, jwtSecretFingerprint, keyChange };
    expect(tellTo('keys')).toEqual({ ...tellTo(), ...ofKeys, withheld: ['cluster', 'audit'] });
  });

  it('has members as the list of members has them', () => {
    expect(toldMembers([MEMBER], () => false)).toEqual(tellTo().members);
    expect(toldMembers([MEMBER], () => true)).toEqual([MEMBER]);
  });
});
