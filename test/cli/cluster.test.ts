import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { printable, valuePreview } from '../../src/cli/value.ts';
import { CliRig } from './rig.ts';

let rig: CliRig;
beforeAll(async () => {
  rig = await CliRig.create();
  const address = '127.0.0.1:1';
  const member = { nodeId: 'a1', name: 'n1', peerAddress: '', apiAddress: '', role: 'voter' };
  rig.node.members = [
    { ...member, leader: true, matchIndex: 9, reachable: true, suspect: false },
    {
      ...member,
      nodeId: 'a2',
      name: 'n2',
      apiAddress: address,
      leader: false,
      matchIndex: 0,
      reachable: false,
      suspect: true,
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

describe('a change of the members', () => {
  it.each([
    ['promote', 'promoteMember', {}, { member: 'n2' }],
    ['demote', 'demoteMember', {}, { member: 'n2' }],
    ['transfer-leadership', 'transferLeadership', {}, { member: 'n2' }],
    ['remove', 'removeMember', { force: false }, { removed: 'n2' }],
  ] as const)('member %s reaches the cluster as it was typed', async (word, method, more, json) => {
    const asked = vi.spyOn(rig.node, method);
    expect(await cli('member', word, 'n2')).toMatchObject({ status: 0, json });
    expect(asked).toHaveBeenCalledTimes(1);
    expect(asked.mock.lastCall?.at(1)).toMatchObject({ member: 'n2', ...more });
    asked.mockRestore();
  });

  it('takes a member out by force only when that is typed', async () => {
    const asked = vi.spyOn(rig.node, 'removeMember');
    await cli('member', 'remove', 'n2', '--force');
    expect(asked.mock.lastCall?.at(1)).toMatchObject({ member: 'n2', force: true });
    asked.mockRestore();
  });

  it('makes a token void by its id', async () => {
    const asked = vi.spyOn(rig.node, 'revokeToken');
    expect(await cli('member', 'revoke-token', 'abc')).toMatchObject({ status: 0, json: { revoked: 'abc' } });
    expect(asked.mock.lastCall?.at(1)).toMatchObject({ id: 'abc' });
    asked.mockRestore();
  });
});

describe('contexts', () => {
  it('are listed, and another one is made the current one', async () => {
    const path = rig.path('two.json');
    const context = { endpoints: ['a:1'], ca: 'ca', certificate: 'c', privateKey: 'secret' };
    const contexts = ['one', 'two'].map((name) => ({ name, ...context }));
    writeFileSync(path, JSON.stringify({ schema: 1, current: 'one', contexts }), { mode: 0o600 });
    const environment = { HOLDFAST_CONFIG: path };
    const run = (...words: string[]) => rig.cli(['context', ...words, '--output', 'json'], { environment });
    const current = async () => {
      const { stdout } = await run('list');
      expect(stdout.toString()).not.toContain('secret');
      const listed = JSON.parse(stdout.toString()) as { contexts: { name: string; current: boolean }[] };
      return listed.contexts.filter((one) => one.current).map(({ name }) => name);
    };
    expect(await current()).toEqual(['one']);
    expect((await run('use', 'two')).status).toBe(0);
    expect(await current()).toEqual(['two']);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const before = readFileSync(path);
    const unknown = await run('use', 'three');
    expect(unknown).toMatchObject({ status: 2 });
    expect(unknown.stderr).toContain('CONFIG_INVALID');
    expect(readFileSync(path)).toEqual(before);
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
