import { createHash, createPublicKey, X509Certificate } from 'node:crypto';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { printable } from '../../src/base/printable.ts';
import { valuePreview } from '../../src/cli/value.ts';
import { verifyCertificateRequest } from '../../src/trust/certificateRequest.ts';
import { TestAuthority } from '../api/certificates.ts';
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
  const { status, stdout, stderr } = await rig.cli([...words, '--timeout', '2s', '--output', 'json']);
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

describe('member list-tokens', () => {
  const token = { role: 'voter', createdMs: 1, expiresMs: 2, expired: false, usedBy: '', usedByName: '' };
  beforeAll(() => {
    rig.node.tokens = [
      { ...token, id: 'unused' },
      { ...token, id: 'used', usedBy: 'a1', usedByName: 'n1' },
      { ...token, id: 'gone', createdMs: 0, expired: true, usedBy: 'a9' },
    ];
  });

  it('has every field of every token, times as RFC 3339', async () => {
    const times = { created: '1970-01-01T00:00:00.001Z', expires: '1970-01-01T00:00:00.002Z' };
    const fresh = { role: 'voter', ...times, expired: false, usedBy: '', usedByName: '' };
    expect((await cli('member', 'list-tokens')).json).toEqual({
      tokens: [
        { ...fresh, id: 'unused' },
        { ...fresh, id: 'used', usedBy: 'a1', usedByName: 'n1' },
        { ...fresh, id: 'gone', created: '', expired: true, usedBy: 'a9' },
      ],
    });
  });

  it('tells people in a table which are still good', async () => {
    const { stdout } = await rig.cli(['member', 'list-tokens']);
    const rows = stdout.toString().trimEnd().split('\n');
    expect(rows.map((row) => row.trim().split(/ {2,}/).at(-1))).toEqual(['GOOD', 'yes', 'used', 'expired']);
    expect(rows[2]).toContain('n1 (a1)');
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

describe('cluster rotate-ca', () => {
  const SIGNING = `sha256:${'1'.repeat(64)}`;
  const OTHER = `sha256:${'2'.repeat(64)}`;
  const missing = [{ nodeId: 'a2', name: 'n2' }];
  afterEach(() => {
    rig.node.authority = { phase: 'none', signing: SIGNING, other: '', missing: [], readyToFinish: false };
  });

  it.each([
    [['--yes'], ['rotateAuthority']],
    [['--status'], ['authorityStatus']],
    [
      ['--finish', '--yes'],
      ['authorityStatus', 'finishAuthorityRotation'],
    ],
  ] as const)('%j asks the cluster for nothing else', async (flags, expected) => {
    rig.node.authority = {
      phase: 'announced',
      signing: SIGNING,
      other: OTHER,
      missing,
      readyToFinish: false,
    };
    const methods = ['rotateAuthority', 'authorityStatus', 'finishAuthorityRotation'] as const;
    const asked = methods.map((name) => vi.spyOn(rig.node, name));
    expect(await cli('cluster', 'rotate-ca', ...flags)).toMatchObject({
      status: 0,
      json: rig.node.authority,
    });
    expect(asked.map(({ mock }) => mock.calls.length)).toEqual(
      methods.map((name) => Number(expected.some((one) => one === name))),
    );
    for (const spy of asked) spy.mockRestore();
  });

  it.each([
    [[], /cannot be taken back.*--yes/s],
    [['--finish'], /turned away from now on.*--yes/s],
  ] as const)('%j does nothing without --yes', async (flags, said) => {
    const calls = rig.node.calls;
    const { status, stderr } = await rig.cli(['cluster', 'rotate-ca', ...flags]);
    expect([status, rig.node.calls]).toEqual([2, calls]);
    expect(stderr).toMatch(said);
  });

  it('is not finished by whoever would be turned away himself', async () => {
    const { ca } = (
      JSON.parse(readFileSync(rig.environment['HOLDFAST_CONFIG'] ?? '', 'utf8')) as {
        contexts: { ca: string }[];
      }
    ).contexts[0] ?? { ca: '' };
    const own = `sha256:${createHash('sha256').update(new X509Certificate(ca).raw).digest('hex')}`;
    const switched = { phase: 'switched', other: OTHER, missing: [], readyToFinish: true };
    const finished = vi.spyOn(rig.node, 'finishAuthorityRotation');
    rig.node.authority = { ...switched, signing: SIGNING };
    const refused = await rig.cli(['cluster', 'rotate-ca', '--finish', '--yes']);
    expect([refused.status, finished.mock.calls.length]).toEqual([1, 0]);
    expect(refused.stderr).toMatch(
      /context test has no certificate of the new CA yet.*holdfast context renew/s,
    );
    rig.node.authority = { ...switched, signing: own };
    expect((await rig.cli(['cluster', 'rotate-ca', '--finish', '--yes'])).status).toBe(0);
    expect(finished.mock.calls.length).toBe(1);
    finished.mockRestore();
  });

  it('has null where no other CA is trusted', async () => {
    rig.node.authority = { phase: 'none', signing: SIGNING, other: '', missing: [], readyToFinish: false };
    expect((await cli('cluster', 'rotate-ca', '--status')).json).toEqual({
      phase: 'none',
      signing: SIGNING,
      other: null,
      missing: [],
      readyToFinish: false,
    });
  });

  it.each([
    ['announced', missing, 'waits until it is trusted by: n2'],
    ['announced', [], 'trusted by all members'],
    ['switched', missing, 'waits for new certificates of: n2'],
    ['switched', [], 'all members have certificates of the new CA'],
  ] as const)(
    'says to people what %s waits for, and what clients need before --finish',
    async (phase, some, text) => {
      rig.node.authority = {
        phase,
        signing: SIGNING,
        other: OTHER,
        missing: some,
        readyToFinish: phase === 'switched' && some.length === 0,
      };
      const { stdout, stderr } = await rig.cli(['cluster', 'rotate-ca', '--status']);
      expect(stdout.toString()).toContain(text);
      expect(stdout.toString()).toContain(SIGNING);
      expect(stdout.toString()).toContain(OTHER);
      expect(stderr).toContain('holdfast context renew');
    },
  );

  it('takes no two of its flags', async () => {
    const { status } = await rig.cli(['cluster', 'rotate-ca', '--status', '--finish']);
    expect(status).toBe(2);
  });
});

describe('context renew', () => {
  const derOf = (pem: string): Buffer => new X509Certificate(pem).raw;
  const file = () =>
    JSON.parse(readFileSync(rig.environment['HOLDFAST_CONFIG'] ?? '', 'utf8')) as ContextFile;
  interface ContextFile {
    readonly current: string;
    readonly contexts: readonly { name: string; ca: string; certificate: string; privateKey: string }[];
  }

  it('asks with the key of the context, and stores certificate and CAs beside it', async () => {
    const [before] = file().contexts;
    const { ca = '', certificate = '', privateKey = '' } = before ?? {};
    const second = (await TestAuthority.create('CN=second')).pem;
    const asked: { csr: Uint8Array; shown: Uint8Array }[] = [];
    rig.node.renew = (request) => {
      asked.push(request);
      return { certificate: derOf(certificate), authorities: [derOf(ca), derOf(second)] };
    };
    const { status, json } = await cli('context', 'renew');
    expect(status).toBe(0);
    const fingerprints = [ca, second].map(
      (pem) => `sha256:${createHash('sha256').update(derOf(pem)).digest('hex')}`,
    );
    expect(json).toEqual({
      context: 'test',
      expires: new Date(new X509Certificate(certificate).validTo).toISOString(),
      authorities: fingerprints,
    });
    const { publicKey } = await verifyCertificateRequest(asked[0]?.csr ?? Buffer.alloc(0));
    expect(publicKey.equals(createPublicKey(privateKey))).toBe(true);
    expect(asked.map(({ shown }) => Buffer.from(shown))).toEqual([derOf(certificate)]);
    const { current, contexts } = file();
    expect([current, contexts.length, contexts[0]?.privateKey]).toEqual(['test', 1, privateKey]);
    const bundle = contexts[0]?.ca.match(/-----BEGIN[^]+?-----END CERTIFICATE-----/g) ?? [];
    expect(bundle.map(derOf)).toEqual([derOf(ca), derOf(second)]);
    expect(statSync(rig.environment['HOLDFAST_CONFIG'] ?? '').mode & 0o777).toBe(0o600);
    // The bundle is one that a client connects with.
    expect((await cli('member', 'list')).status).toBe(0);
  });

  it('keeps what it has when the answer is for another key, or by a CA that is not in it', async () => {
    const before = file();
    const other = await TestAuthority.create('CN=other');
    const { ca = '', certificate = '' } = before.contexts[0] ?? {};
    const strange = derOf((await other.client('alice')).certificate);
    for (const answer of [
      { certificate: strange, authorities: [derOf(other.pem)] },
      { certificate: derOf(certificate), authorities: [derOf(other.pem)] },
      { certificate: derOf(certificate), authorities: [] },
    ]) {
      rig.node.renew = () => answer;
      const { status, stderr } = await rig.cli(['context', 'renew']);
      expect(status).toBe(1);
      expect(stderr).toContain('CERTIFICATE_INVALID');
      expect(file()).toEqual(before);
    }
    expect(ca).not.toBe('');
  });

  it('renews nothing that does not come from the context file', async () => {
    const environment = { ...rig.environment, HOLDFAST_CERT: rig.path('any.pem') };
    const { status, stderr } = await rig.cli(['context', 'renew'], { environment });
    expect(status).toBe(2);
    expect(stderr).toContain('HOLDFAST_CERT');
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

describe('what a node tells of others', () => {
  const said = 'n3 says: \u001b[2Jall is well\u202e';
  const shown = 'n3 says: \\u{1b}[2Jall is well\\u{202e}';
  beforeAll(() => {
    const fenced = { nodeId: 'a3', name: 'n3', code: 'CLUSTER_MISMATCH', sinceMs: 1 };
    rig.node.told = { warnings: [said], fenced: [{ ...fenced, reason: said, hint: said }] };
  });
  afterAll(() => {
    rig.node.told = { warnings: [] };
  });

  it('steers no terminal', async () => {
    const { stderr } = await rig.cli(['status', '--timeout', '300ms']);
    expect(stderr).toContain(`warning: fake: ${shown}\n`);
    expect(stderr).not.toContain(said);
  });

  it('nor one that shows JSON', async () => {
    const { json } = await cli('status');
    const { nodes } = json as { nodes: [{ warnings: string[]; fenced: object[] }] };
    expect(nodes[0]).toMatchObject({ warnings: [shown], fenced: [{ reason: shown, hint: shown }] });
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
