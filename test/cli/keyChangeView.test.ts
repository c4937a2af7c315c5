import { PassThrough } from 'node:stream';
import { expect, it } from 'vitest';
import { showKeyChange } from '../../src/cli/keyChangeView.ts';
import { Output, type OutputFormat } from '../../src/cli/output.ts';
import type { KeyChangeStatus } from '../../src/client/index.ts';

const FINGERPRINT = `sha256:${'ab'.repeat(32)}`;
const member = { nodeId: '00000000000000aa', name: 'a', proved: true, counted: true };
const CHANGE: KeyChangeStatus = {
  id: 'c1',
  kind: 'rekey',
  phase: 'rewriting',
  encryption: '',
  newFingerprint: FINGERPRINT,
  previousFingerprint: '',
  confirmed: true,
  members: [
    { ...member, rewritten: 5, remaining: 0 },
    { ...member, nodeId: '00000000000000bb', name: '', proved: false, rewritten: 7, remaining: 2 },
  ],
  startedMs: 1_000,
  endedMs: 0,
  problems: [],
};

function shown(change: Partial<KeyChangeStatus>, format: OutputFormat = 'table') {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  showKeyChange({ ...CHANGE, ...change }, new Output({ format, streams: { stdout, stderr }, colors: false }));
  const text = (stream: PassThrough): string[] =>
    String(stream.read() ?? '')
      .split('\n')
      .map((line) => line.trimEnd())
      .filter((line) => line !== '');
  return { stdout: text(stdout), stderr: text(stderr) };
}

it.each<[string, Partial<KeyChangeStatus>, readonly string[]]>([
  [
    'a rekey: who holds the key, and what is left',
    {},
    [
      'rekey: rewriting; 12 re-wrapped, 2 still under legacy keys',
      `new control key ${FINGERPRINT}`,
      'MEMBER            HOLDS IT  RE-WRAPPED  LEFT',
      'a                 yes       5           0',
      '00000000000000bb  no        7           2',
    ],
  ],
  [
    'a rekey that nobody has confirmed, and in which one has not counted',
    {
      phase: 'preparing',
      confirmed: false,
      members: [{ ...member, counted: false, rewritten: 0, remaining: 0 }],
    },
    [
      'rekey: preparing; 0 re-wrapped, not all have counted what is left',
      `new control key ${FINGERPRINT}, not confirmed yet`,
      'MEMBER  HOLDS IT  RE-WRAPPED  LEFT',
      'a       yes       0           ?',
    ],
  ],
  ['a rotation: nothing of the members', { kind: 'rotate', newFingerprint: '' }, ['rotate: rewriting']],
  [
    'a rewrap: no key to hold',
    { kind: 'rewrap', newFingerprint: '' },
    [
      'rewrap: rewriting; 12 re-wrapped, 2 still under legacy keys',
      'MEMBER            RE-WRAPPED  LEFT',
      'a                 5           0',
      '00000000000000bb  7           2',
    ],
  ],
  [
    'another JWT secret: nothing is sealed anew',
    { kind: 'jwt', phase: 'preparing' },
    [
      'jwt: preparing',
      `new JWT secret ${FINGERPRINT}`,
      'MEMBER            HOLDS IT',
      'a                 yes',
      '00000000000000bb  no',
    ],
  ],
])('shows of %s', (_what, change, lines) => {
  expect(shown(change)).toEqual({ stdout: lines, stderr: [] });
});

it('warns of what holds it up', () => {
  const problem = {
    nodeId: '00000000000000bb',
    name: 'b',
    code: 'UNAVAILABLE',
    reason: 'not reachable',
    hint: '',
  };
  const { stderr } = shown({ problems: [problem, { ...problem, name: '', hint: 'start it' }] });
  expect(stderr).toEqual([
    'held up: b: not reachable',
    'held up: 00000000000000bb: not reachable',
    'hint: start it',
  ]);
});

it('as JSON, is one object of the same shape for all kinds', () => {
  for (const kind of ['rekey', 'rotate', 'jwt', 'of a later version']) {
    const { stdout } = shown({ kind }, 'json');
    expect(stdout).toHaveLength(1);
    expect(JSON.parse(stdout.join())).toMatchObject({
      kind,
      rewritten: 12,
      remaining: 2,
      members: [
        { name: 'a', proved: true },
        { nodeId: '00000000000000bb', proved: false },
      ],
      ended: null,
    });
  }
});
