import { copyFileSync, existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { present } from '../src/base/assert.ts';
import type { HoldfastClient } from '../src/client/index.ts';
import { type ClusterNode, holdfast, LocalCluster, newNode, nodeFlags } from './localCluster.ts';
import { refusal, type Secrets, secretsOf } from './secrets.ts';
import { until } from './until.ts';

const WITHIN_MS = 60_000;
const LIMIT_MS = 240_000;
const NEW_ONE = 'Make a new one: holdfast member add-token.';

let cluster: LocalCluster;
let client: HoldfastClient;
/** The secrets of the cluster, and others. */
let right: Secrets;
let foreign: Secrets;

beforeAll(async () => {
  cluster = await LocalCluster.form(3);
  client = await cluster.client();
  foreign = await secretsOf(await newNode(cluster.dir, 'foreign'), { make: true });
  right = await secretsOf(cluster.node('n1'), { make: false });
}, LIMIT_MS);

afterAll(async () => {
  await client?.close();
  await cluster?.destroy();
});

/** A node that may join but for what a test does to it. */
async function joiner(name: string, given: LocalCluster = cluster): Promise<ClusterNode> {
  const node = await newNode(given.dir, name);
  copyFileSync(given.node('n1').controlKeyPath, node.controlKeyPath);
  copyFileSync(given.node('n1').jwtSecretPath, node.jwtSecretPath);
  return node;
}

function joinWith(node: ClusterNode, token: string, more: readonly string[] = []) {
  return holdfast(['join', '--token-file', '-', ...nodeFlags(node), ...more], { stdin: token });
}

async function attempt(
  node: ClusterNode,
  token: string,
  options: { readonly flags?: readonly string[]; readonly of?: LocalCluster } = {},
): Promise<object> {
  const { code, stdout, stderr } = await joinWith(node, token, options.flags);
  let said = stderr;
  for (const { peerAddress } of (options.of ?? cluster).nodes) said = said.replaceAll(peerAddress, 'LEADER');
  return { code, stdout: stdout.toString(), stderr: said };
}

async function memberNames(of: HoldfastClient = client): Promise<readonly string[]> {
  const { members } = await of.cluster.members();
  return members.map(({ name }) => name).toSorted();
}

/** What lies in the data directory, but for the lock, which is there as long as the directory. */
function leftIn({ dataDir }: ClusterNode): readonly string[] {
  return existsSync(dataDir) ? readdirSync(dataDir).filter((name) => name !== 'lock') : [];
}

/** Joins, and is taken out again: the next test finds the cluster as it was. */
async function joinsAndGoes(node: ClusterNode, token: string, of: HoldfastClient = client): Promise<void> {
  expect(await joinWith(node, token)).toMatchObject({ code: 0, stderr: '' });
  expect(await memberNames(of)).toContain(node.name);
  await of.cluster.remove({ member: node.name });
}

describe('a join that would mix two clusters', () => {
  const SECRETS = [
    {
      what: 'control keys',
      code: 'CONTROL_KEY_MISMATCH',
      path: 'controlKeyPath',
      said: () => `control key ${right.control}, the node has ${foreign.control}`,
      hint: 'Give this node the control key of the cluster: its key file, or HOLDFAST_CONTROL_KEY.',
    },
    {
      what: 'JWT secrets',
      code: 'JWT_SECRET_MISMATCH',
      path: 'jwtSecretPath',
      said: () => `JWT secret ${right.jwt}, the node has ${foreign.jwt}`,
      hint: 'Give this node the JWT secret of the cluster: its file, or HOLDFAST_JWT_SECRET.',
    },
  ] as const;

  it.each(SECRETS)(
    'is refused with both $what, costs nothing, and its token lets the node in with the right one',
    async ({ code, path, said, hint }) => {
      const node = await joiner(path.toLowerCase());
      copyFileSync(foreign[path], node[path]);
      const { token } = await client.cluster.addToken();
      const before = await memberNames();
      const message = `LEADER: the cluster has ${said()}`;
      expect(await attempt(node, token)).toEqual(refusal({ code, message, hint }));
      expect(leftIn(node)).toEqual([]);
      expect(await memberNames()).toEqual(before);
      copyFileSync(right[path], node[path]);
      await joinsAndGoes(node, token);
    },
  );

  it('is refused with encryption off against on, and its token lets the node in without the setting', async () => {
    const node = await joiner('set-to-off');
    const { token } = await client.cluster.addToken();
    const before = await memberNames();
    expect(await attempt(node, token, { flags: ['--encryption', 'off'] })).toEqual(
      refusal({
        code: 'ENCRYPTION_MISMATCH',
        message: 'LEADER: the cluster has encryption on, the node is set to off',
        hint: 'Leave the setting out: the cluster decides.',
      }),
    );
    expect(leftIn(node)).toEqual([]);
    expect(await memberNames()).toEqual(before);
    await joinsAndGoes(node, token);
  });

  it(
    'is refused with encryption on against off as well',
    async () => {
      const plain = await LocalCluster.form(1, { encryption: 'off' });
      const asked = await plain.client();
      try {
        const node = await joiner('set-to-on', plain);
        const { token } = await asked.cluster.addToken();
        expect(await attempt(node, token, { flags: ['--encryption', 'on'], of: plain })).toEqual(
          refusal({
            code: 'ENCRYPTION_MISMATCH',
            message: 'LEADER: the cluster has encryption off, the node is set to on',
            hint: 'Leave the setting out: the cluster decides.',
          }),
        );
        expect(leftIn(node)).toEqual([]);
        expect(await memberNames(asked)).toEqual(['n1']);
        await joinsAndGoes(node, token, asked);
      } finally {
        await asked.close();
        await plain.destroy();
      }
    },
    LIMIT_MS,
  );
});

/** A whole token, checksum and all, with another id or secret in it. */
function forged(token: string, part: 1 | 2, text: string): string {
  const parts = token.split('.').slice(0, 5);
  parts[part] = text;
  const body = parts.join('.');
  return `${body}.${crc32(body).toString(16).padStart(8, '0')}`;
}

describe('a join token', () => {
  it('that is mistyped is refused before anything is sent', async () => {
    const node = await joiner('mistyped');
    const { token } = await client.cluster.addToken();
    const before = await memberNames();
    const mistyped = token.replace(/.$/, (last) => (last === 'a' ? 'b' : 'a'));
    const said = (what: string) =>
      refusal({
        code: 'TOKEN_MALFORMED',
        message: `this is no whole join token: ${what}`,
        hint: 'Copy the whole token again, or make a new one with `holdfast member add-token`.',
      });
    expect(await attempt(node, mistyped)).toEqual(
      said('its checksum (part 6) does not match: a character is wrong somewhere'),
    );
    expect(await attempt(node, token.slice(0, token.lastIndexOf('.')))).toEqual(
      said('it has 5 parts instead of 6'),
    );
    expect(leftIn(node)).toEqual([]);
    expect(await memberNames()).toEqual(before);
  });

  it('that nobody made, or with another secret, or that was revoked, is unknown', async () => {
    const node = await joiner('unknown');
    const { token } = await client.cluster.addToken();
    const before = await memberNames();
    const unknown = refusal({
      code: 'TOKEN_UNKNOWN',
      message: 'LEADER: no join token has this id and secret',
      hint: NEW_ONE,
    });
    expect(await attempt(node, forged(token, 1, '00'.repeat(8)))).toEqual(unknown);
    expect(await attempt(node, forged(token, 2, Buffer.alloc(32).toString('base64url')))).toEqual(unknown);
    await cluster.expectDone(['member', 'revoke-token', token.split('.')[1] ?? '']);
    expect(await attempt(node, token)).toEqual(unknown);
    expect(leftIn(node)).toEqual([]);
    expect(await memberNames()).toEqual(before);
  });

  it('that has expired lets nobody in', async () => {
    const node = await joiner('late');
    const { stdout } = await cluster.expectDone(['member', 'add-token', '--ttl', '500ms']);
    const token = stdout.toString().trim();
    const before = await memberNames();
    await until(WITHIN_MS, 'the token to expire by the time of the log', async () => {
      const listed = await cluster.expectDone(['member', 'list-tokens', '--output', 'json']);
      const { tokens } = JSON.parse(listed.stdout.toString()) as {
        tokens: { id: string; expired: boolean }[];
      };
      return tokens.find(({ id }) => id === token.split('.')[1])?.expired === true;
    });
    expect(await attempt(node, token)).toEqual(
      refusal({
        code: 'TOKEN_EXPIRED',
        message: 'LEADER: the join token is past its time',
        hint: NEW_ONE,
      }),
    );
    expect(leftIn(node)).toEqual([]);
    expect(await memberNames()).toEqual(before);
  });

  const used = refusal({
    code: 'TOKEN_USED',
    message: 'LEADER: another node has used this join token',
    hint: NEW_ONE,
  });

  it('that another node has used lets no second one in', async () => {
    const [node, second] = [await joiner('in-time'), await joiner('too-late')];
    const { token } = await client.cluster.addToken();
    expect(await joinWith(node, token)).toMatchObject({ code: 0, stderr: '' });
    const before = await memberNames();
    expect(before).toContain('in-time');
    expect(await attempt(second, token)).toEqual(used);
    expect(leftIn(second)).toEqual([]);
    expect(await memberNames()).toEqual(before);
    await client.cluster.remove({ member: 'in-time' });
  });

  it('lets in exactly one of two nodes that race with it', async () => {
    const racers = [await joiner('racer-1'), await joiner('racer-2')];
    const { token } = await client.cluster.addToken();
    const before = await memberNames();
    const outcomes = await Promise.all(
      racers.map(async (node) => ({ node, outcome: await attempt(node, token) })),
    );
    const losers = outcomes.filter(({ node }) => !existsSync(join(node.dataDir, 'identity.json')));
    expect(losers).toHaveLength(1);
    const [loser] = losers;
    expect(loser?.outcome).toEqual(used);
    expect(leftIn(present(loser?.node, 'loser'))).toEqual([]);
    const winner = present(
      racers.find((node) => node !== loser?.node),
      'winner',
    );
    expect(await memberNames()).toEqual([...before, winner.name].toSorted());
    await client.cluster.remove({ member: winner.name });
  });
});
