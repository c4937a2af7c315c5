import { afterAll, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import type { KeyChangeStatus } from '../../src/client/index.ts';
import { CliRig } from './rig.ts';

const NEW = `sha256:${'ab'.repeat(32)}`;
const OTHER = `sha256:${'cd'.repeat(32)}`;
const member = {
  nodeId: '00000000000000aa',
  name: 'a',
  proved: true,
  counted: false,
  rewritten: 0,
  remaining: 0,
};

let rig: CliRig;
beforeAll(async () => {
  rig = await CliRig.create();
});
afterAll(() => rig.close());
beforeEach(() => {
  rig.node.role = 'leader';
  rig.node.keyChanges = [];
  rig.node.faults.clear();
});

/** The fake node begins changes under the id `abc`. */
function change(more: Partial<KeyChangeStatus> = {}): KeyChangeStatus {
  return {
    id: 'abc',
    kind: 'rekey',
    phase: 'preparing',
    encryption: '',
    newFingerprint: NEW,
    previousFingerprint: OTHER,
    confirmed: false,
    members: [member],
    startedMs: 1,
    endedMs: 0,
    problems: [],
    ...more,
  };
}

const before = change({ id: 'before', phase: 'finished', confirmed: true });

it('--wait waits for the end of the change that was begun, whatever was before', async () => {
  rig.node.keyChanges = [
    before,
    null,
    change({ kind: 'rotate' }),
    change({ kind: 'rotate', phase: 'finished' }),
  ];
  const { status, stdout } = await rig.cli(['cluster', 'rotate', '--wait']);
  expect([status, stdout.toString()]).toEqual([0, expect.stringMatching(/^rotate: finished\n/)]);
  expect(rig.node.keyChanges).toHaveLength(1);
});

it('--wait does not believe a node that does not lead', async () => {
  rig.node.role = 'follower';
  rig.node.keyChanges = [change({ kind: 'rotate', phase: 'finished' })];
  const interrupted = new AbortController();
  const waiting = rig.cli(['cluster', 'rotate', '--wait'], { interrupted: interrupted.signal });
  const calls = rig.node.calls;
  await vi.waitUntil(() => rig.node.calls > calls + 3);
  interrupted.abort();
  expect((await waiting).status).not.toBe(0);
});

it('--wait fails when somebody else has aborted it', async () => {
  rig.node.keyChanges = [change({ kind: 'jwt' }), change({ kind: 'jwt', phase: 'aborted' })];
  const { status, stderr } = await rig.cli(['cluster', 'rotate-jwt', '--yes', '--wait']);
  expect([status, stderr]).toEqual([expect.any(Number), expect.stringContaining('was aborted (CANCELLED)')]);
  expect(status).not.toBe(0);
});

it.each([
  ['none was ever begun', null, 'no rekey is under way (NOT_FOUND)'],
  ['it is over', before, 'no rekey is under way (NOT_FOUND)'],
  ['another kind is under way', change({ kind: 'jwt' }), 'a jwt is under way, and no rekey (NOT_FOUND)'],
])('rekey --abort aborts nothing when %s', async (_what, known, said) => {
  rig.node.keyChanges = [known];
  const aborted = vi.spyOn(rig.node, 'abortKeyChange');
  const { status, stderr } = await rig.cli(['cluster', 'rekey', '--abort']);
  expect([status, aborted.mock.calls.length]).toEqual([1, 0]);
  expect(stderr).toContain(said);
  aborted.mockRestore();
});

it('rotate-jwt --abort aborts a change of the JWT secret', async () => {
  rig.node.keyChanges = [change({ kind: 'jwt' })];
  const { status, stdout } = await rig.cli(['cluster', 'rotate-jwt', '--abort']);
  expect([status, stdout.toString()]).toEqual([0, 'the jwt is aborted; nothing was sealed by new keys\n']);
});

it.each(['preparing', 'rewriting'])(
  '--accept-fingerprint of another key is refused while %s',
  async (phase) => {
    rig.node.keyChanges = [change({ phase })];
    const confirmed = vi.spyOn(rig.node, 'confirmKeyChange');
    const { status, stderr } = await rig.cli(['cluster', 'rekey', '--accept-fingerprint', OTHER]);
    expect([status, confirmed.mock.calls.length]).toEqual([1, 0]);
    expect(stderr).toContain(`the new control key is ${NEW}, and not ${OTHER} (CONTROL_KEY_MISMATCH)`);
    confirmed.mockRestore();
  },
);

it('--accept-fingerprint waits until every member holds the key, and confirms it once', async () => {
  rig.node.keyChanges = [
    change({ newFingerprint: '', members: [] }),
    change({ members: [] }),
    change({ members: [{ ...member, proved: false }] }),
    change(),
  ];
  const confirmed = vi.spyOn(rig.node, 'confirmKeyChange');
  const { status } = await rig.cli(['cluster', 'rekey', '--accept-fingerprint', NEW]);
  expect([status, confirmed.mock.calls.length]).toEqual([0, 1]);
  expect(rig.node.keyChanges).toHaveLength(1);
  confirmed.mockRestore();
});

it.each([
  [['--status', '--abort']],
  [['--status', '--wait']],
  [['--abort', '--save-key', 'FILE']],
  [['--abort', '--accept-fingerprint', NEW]],
])('rekey takes not both of %j', async (flags) => {
  const calls = rig.node.calls;
  const { status } = await rig.cli(['cluster', 'rekey', ...flags]);
  expect([status, rig.node.calls]).toEqual([2, calls]);
});
