import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { printable, valuePreview } from '../../src/cli/value.ts';
import { CliRig } from './rig.ts';

let rig: CliRig;
beforeAll(async () => {
  rig = await CliRig.create();
  const address = '127.0.0.1:1';
  const member = { nodeId: 'a1', name: 'n1', peerAddress: '', apiAddress: '', role: 'voter' };
  rig.node.members = [
    { ...member, leader: true, matchIndex: 9, reachable: true },
    {
      ...member,
      nodeId: 'a2',
      name: 'n2',
      apiAddress: address,
      leader: false,
      matchIndex: 0,
      reachable: false,
    },
  ];
});
afterAll(() => rig.close());

const cli = async (...words: string[]) => {
  const { status, stdout, stderr } = await rig.cli([...words, '--timeout', '300ms', '--output', 'json']);
  return { status, stderr, json: JSON.parse(stdout.toString()) as unknown };
};

describe('member list', () => {
  it('has every field of every member, numbers as numbers', async () => {
    expect((await cli('member', 'list')).json).toEqual({ members: rig.node.members });
  });
});

describe('member add-token', () => {
  it('shows the token and until when it is good', async () => {
    const { json } = await cli('member', 'add-token');
    expect(json).toEqual({ token: 'hf1.token', expires: '1970-01-01T00:00:00.001Z' });
  });

  it('shows people the bare token on standard output, so that it can be piped', async () => {
    const { stdout } = await rig.cli(['member', 'add-token']);
    expect(stdout.toString()).toBe('hf1.token\n');
  });
});

describe('status', () => {
  it('shows who answers and who does not, and exits 1 when one does not', async () => {
    const { status, json, stderr } = await cli('status');
    expect(status).toBe(1);
    expect(stderr).toBe('');
    expect(json).toMatchObject({
      nodes: [
        { name: 'fake', revision: 1, logTime: '1970-01-01T00:00:00.000Z', members: rig.node.members },
        { endpoint: '127.0.0.1:1', error: { code: 'UNAVAILABLE' } },
      ],
    });
  });
});

describe('what others have stored', () => {
  it.each([
    ['plain ü 日本', 'plain ü 日本'],
    ['\u001b]0;title\u0007', '\\u{1b}]0;title\\u{7}'],
    ['right\u202eleft', 'right\\u{202e}left'],
  ])('%j is shown to people as %j', (text, shown) => {
    expect(printable(text)).toBe(shown);
  });

  it.each([
    [Buffer.from('one line'), 'one line'],
    [Buffer.from('\n  first\nsecond'), 'first…'],
    [Buffer.from([0xff, 0]), '(2 bytes)'],
    [Buffer.from('ü'.repeat(57)), 'ü'.repeat(57)],
    [Buffer.from('ü'.repeat(58)), `${'ü'.repeat(57)}…`],
    [Buffer.alloc(0), ''],
  ])('%j has the preview %j', (value, preview) => {
    expect(valuePreview(value)).toBe(preview);
  });
});
