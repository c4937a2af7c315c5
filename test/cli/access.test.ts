import { writeFileSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { CliRig } from './rig.ts';

let rig: CliRig;
beforeAll(async () => {
  rig = await CliRig.create();
});
beforeEach(() => {
  rig.node.access.asked.length = 0;
});
afterAll(() => rig.close());

const POLICY = {
  role: 'apps',
  rules: [
    { path: 'apps/**', capabilities: ['read', 'write'] },
    { path: 'apps/x', capabilities: [] },
  ],
  admin: ['audit'],
};
const YAML = `role: apps
rules:
  - path: apps/**
    capabilities: [read, write]
  - {path: apps/x, capabilities: []}
admin: [audit]
`;

function file(text: string): string {
  const path = rig.path('policy.yaml');
  writeFileSync(path, text);
  return path;
}

const cli = async (...words: string[]) => {
  const { status, stdout, stderr } = await rig.cli([...words, '--output', 'json']);
  return { status, stderr, json: stdout.length === 0 ? null : (JSON.parse(stdout.toString()) as unknown) };
};
const asked = () => rig.node.access.asked.map(([method, , request]) => [method, request]);

describe('policy', () => {
  it('validate and put take a YAML file, and only put asks the cluster', async () => {
    const path = file(YAML);
    expect(await cli('policy', 'validate', path)).toMatchObject({
      status: 0,
      json: { role: 'apps', valid: true },
    });
    expect(asked()).toEqual([]);
    expect(await cli('policy', 'put', path)).toMatchObject({ status: 0, json: { role: 'apps' } });
    expect(asked()).toEqual([['putPolicy', expect.objectContaining({ role: 'apps', admin: ['audit'] })]]);
  });

  it.each<[string, string, string]>([
    ['no YAML', 'role: [', 'file'],
    ['nothing', '', 'file'],
    ['another field', `${YAML}roles: []\n`, 'file'],
    ['a field of a rule too much', 'role: a\nrules: [{path: a, capabilities: [], deny: true}]', 'rules.0'],
    ['a field twice', `${YAML}role: other\n`, 'file'],
    ['aliases', 'role: a\nrules: [&x {path: a, capabilities: []}, *x]', 'file'],
    ['a number for a path', 'role: a\nrules: [{path: 1, capabilities: []}]', 'rules.0.path'],
    ['a word for a list', 'role: a\nrules: [{path: a, capabilities: read}]', 'rules.0.capabilities'],
  ])('validate and put refuse %s', async (_what, text, field) => {
    for (const command of ['validate', 'put']) {
      const { status, stderr } = await cli('policy', command, file(text));
      expect([status, JSON.parse(stderr)]).toMatchObject([1, { error: { code: 'INVALID_ARGUMENT', field } }]);
    }
    expect(asked()).toEqual([]);
  });

  it.each<[string, string, string]>([
    ['a role that every cluster has', 'role: admin', 'role'],
    ['a role that is none', 'role: A', 'role'],
    ['an unknown capability', 'role: a\nrules: [{path: a, capabilities: [look]}]', 'rules[0].capabilities'],
    ['an unknown area', 'role: a\nadmin: [all]', 'admin'],
    ['a pattern that is none', 'role: a\nrules: [{path: a**, capabilities: []}]', 'rules[0].path'],
  ])('validate says what the cluster would say of %s', async (_what, text, field) => {
    const { status, stderr } = await cli('policy', 'validate', file(text));
    expect([status, JSON.parse(stderr)]).toMatchObject([1, { error: { code: 'INVALID_ARGUMENT', field } }]);
  });

  it('says of a file that is not there, or far too long, what is wrong', async () => {
    const missing = await cli('policy', 'put', rig.path('nothing.yaml'));
    expect(JSON.parse(missing.stderr)).toMatchObject({ error: { code: 'FILE_UNREADABLE' } });
    const long = await cli('policy', 'put', file(`# ${'x'.repeat(2 ** 21)}`));
    expect(JSON.parse(long.stderr)).toMatchObject({ error: { code: 'TOO_LARGE' } });
  });

  it('list, describe, explain and delete say what the cluster says', async () => {
    rig.node.access.policies = [POLICY];
    expect((await cli('policy', 'list')).json).toEqual({
      policies: [{ role: 'apps', rules: 2, admin: ['audit'], builtIn: false }],
    });
    expect((await cli('policy', 'describe', 'apps')).json).toEqual(POLICY);
    const nobody = await cli('policy', 'describe', 'nobody');
    expect([nobody.status, JSON.parse(nobody.stderr)]).toMatchObject([1, { error: { code: 'NOT_FOUND' } }]);
    expect((await cli('policy', 'explain', 'viewer', 'read', 'a/b')).json).toEqual({
      who: 'viewer',
      action: 'read',
      path: 'a/b',
      allowed: true,
      pattern: 'a/**',
      roles: ['viewer'],
      capabilities: ['read'],
    });
    const { stdout } = await rig.cli(['policy', 'explain', 'viewer', 'read', 'a/b']);
    expect(stdout.toString()).toBe('allowed: the rule for a/** of role viewer allows read\n');
    expect((await cli('policy', 'delete', 'apps')).json).toEqual({ deleted: 'apps' });
    expect(asked().at(-1)).toEqual(['deletePolicy', { role: 'apps' }]);
  });
});

describe('token', () => {
  it('create shows people the bare token on standard output, so that it can be piped', async () => {
    const { stdout, stderr } = await rig.cli(['token', 'create', '--role', 'viewer', 'apps', '--ttl', '30d']);
    expect([stdout.toString(), stderr]).toEqual([
      'hft_x\n',
      'good until it is revoked; shown only this once\n',
    ]);
    const request = { roles: ['viewer', 'apps'], description: '', ttlMs: 30 * 86_400_000 };
    expect(asked()).toEqual([['createAccessToken', expect.objectContaining(request)]]);
  });

  it('create needs a role', async () => {
    expect((await rig.cli(['token', 'create'])).status).toBe(2);
  });

  it('list has every field of every token, revoke its id', async () => {
    const token = {
      id: '00ab',
      description: 'ci',
      roles: ['viewer'],
      createdMs: 1,
      createdBy: 'client admin',
    };
    rig.node.access.kept = [
      { ...token, expiresMs: 0, expired: false, lastUsedMs: 0, addresses: [] },
      { ...token, expiresMs: 2, expired: true, lastUsedMs: 1, addresses: ['10.0.0.1'] },
    ];
    const { createdMs: _ms, ...shown } = token;
    const created = '1970-01-01T00:00:00.001Z';
    expect((await cli('token', 'list')).json).toEqual({
      tokens: [
        { ...shown, created, expires: '', expired: false, lastUsed: '', addresses: [] },
        {
          ...shown,
          created,
          expires: '1970-01-01T00:00:00.002Z',
          expired: true,
          lastUsed: created,
          addresses: ['10.0.0.1'],
        },
      ],
    });
    const id = '0123456789abcdef';
    expect((await cli('token', 'revoke', id)).json).toEqual({ revoked: id });
    expect(asked()).toEqual([['revokeAccessToken', { id }]]);
  });
});

describe('HOLDFAST_TOKEN', () => {
  it('makes whoever shows it its holder, with the certificate of a context and without', async () => {
    rig.node.access.tokens.set('hft_1', '00ab');
    const whoami = async (environment: NodeJS.ProcessEnv) => {
      const { status, stdout, stderr } = await rig.cli(['whoami', '--output', 'json'], { environment });
      return [status, stderr, stdout.length > 0 && (JSON.parse(stdout.toString()) as unknown)];
    };
    expect(await whoami(rig.environment)).toMatchObject([0, '', { kind: 'client', name: 'alice' }]);
    const holder = [0, '', { kind: 'token', name: '00ab', roles: ['viewer'], expires: '' }];
    expect(await whoami({ ...rig.environment, HOLDFAST_TOKEN: 'hft_1\n' })).toMatchObject(holder);
    const { endpoints, ca } = rig.context;
    writeFileSync(rig.path('ca.pem'), ca);
    const without = {
      HOLDFAST_CONFIG: rig.path('none.json'),
      HOLDFAST_ENDPOINTS: endpoints.join(','),
      HOLDFAST_CA: rig.path('ca.pem'),
    };
    expect(await whoami({ ...without, HOLDFAST_TOKEN: 'hft_1' })).toMatchObject(holder);
    for (const [token, code] of [
      ['hft_2', 'UNAUTHENTICATED'],
      ['hft_ü', 'INVALID_ARGUMENT'],
      ['a b', 'INVALID_ARGUMENT'],
      ['', 'INVALID_ARGUMENT'],
    ])
      expect(await whoami({ ...rig.environment, HOLDFAST_TOKEN: token })).toMatchObject([
        1,
        expect.stringContaining(code ?? ''),
        false,
      ]);
    expect(await whoami(without)).toMatchObject([2, expect.stringContaining('CONFIG_INVALID'), false]);
  });
});
