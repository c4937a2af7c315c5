import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { present } from '../src/base/assert.ts';
import { type ClusterNode, holdfast, LocalCluster, newNode, nodeFlags } from './localCluster.ts';
import { refusal } from './secrets.ts';
import { until } from './until.ts';

const WITHIN_MS = 60_000;
const LIMIT_MS = 240_000;

let cluster: LocalCluster;
beforeAll(async () => {
  cluster = await LocalCluster.form(3);
}, LIMIT_MS);
afterAll(() => cluster?.destroy());

/** Runs a command of the administrator, or of a node, and tells all that it says. */
async function said(words: readonly string[], stdin = ''): Promise<object> {
  const environment = { HOLDFAST_CONFIG: cluster.contextPath };
  const { code, stdout, stderr } = await holdfast(words, { environment, stdin });
  let text = stderr.replaceAll(cluster.dir, 'DIR');
  for (const { peerAddress } of cluster.nodes) text = text.replaceAll(peerAddress, 'LEADER');
  return { code, stdout: stdout.toString(), stderr: text };
}

async function joiner(name: string): Promise<ClusterNode> {
  const node = await newNode(cluster.dir, name);
  copyFileSync(cluster.node('n1').controlKeyPath, node.controlKeyPath);
  copyFileSync(cluster.node('n1').jwtSecretPath, node.jwtSecretPath);
  return node;
}

async function newToken(): Promise<string> {
  return (await cluster.expectDone(['member', 'add-token'])).stdout.toString().trim();
}

describe('a node', () => {
  it('does not join whoever holds another CA than the token names', async () => {
    const parts = (await newToken()).split('.');
    // The pin is part 4. The token is whole: the checksum is that of what it holds.
    parts[3] = '07'.repeat(32);
    const body = parts.slice(0, 5).join('.');
    const token = `${body}.${crc32(body).toString(16).padStart(8, '0')}`;
    expect(await said(['join', '--token-file', '-', ...nodeFlags(await joiner('pinned'))], token)).toEqual(
      refusal({
        code: 'CERTIFICATE_INVALID',
        message: 'the CA presented by LEADER is not the pinned one',
        hint: 'The token is from before a change of the CA (make a new one: holdfast member add-token), the address belongs to another cluster, or something between answers in its place.',
      }),
    );
  });

  it('is not made in a directory that holds something', async () => {
    const node = await joiner('occupied');
    mkdirSync(node.dataDir);
    writeFileSync(join(node.dataDir, 'mine'), 'mine');
    expect(await said(['join', '--token-file', '-', ...nodeFlags(node)], await newToken())).toEqual(
      refusal({
        code: 'DATA_DIR_INVALID',
        message: 'the data directory DIR/occupied is not empty',
        hint: 'name an empty directory',
      }),
    );
  });

  it('does not start on files of two clusters', async () => {
    const other = await joiner('other');
    const made = await holdfast([
      'init',
      ...nodeFlags(other),
      '--context-file',
      join(cluster.dir, 'other.json'),
    ]);
    expect(made).toMatchObject({ code: 0 });
    const node = cluster.node('n3');
    await cluster.stop('n3');
    const [keyring, kept] = [join(node.dataDir, 'keyring'), join(cluster.dir, 'keyring')];
    copyFileSync(keyring, kept);
    copyFileSync(join(other.dataDir, 'keyring'), keyring);
    const refused = (await said(['server', ...nodeFlags(node)])) as { stderr: string };
    copyFileSync(kept, keyring);
    cluster.start('n3');
    await cluster.untilVoters(3);
    expect({ ...refused, stderr: refused.stderr.replaceAll(/store [0-9a-f]{16}/g, 'store ID') }).toEqual(
      refusal({
        code: 'CLUSTER_MISMATCH',
        message: 'DIR/n3/keyring belongs to store ID, the identity beside it to store ID',
        hint: 'files of two clusters were mixed: give each node its own data directory',
      }),
    );
  });
});

describe('a change of keys', () => {
  const wrong = `sha256:${'0'.repeat(64)}`;

  it('that nobody has begun cannot be given up', async () => {
    expect(await said(['cluster', 'rekey', '--abort'])).toEqual(
      refusal({
        code: 'NOT_FOUND',
        message: 'no rekey is under way',
        hint: 'holdfast cluster rekey --status shows the last change of keys',
      }),
    );
  });

  it('waits for the end of the one before it, and is confirmed with its own key alone', async () => {
    await cluster.expectDone(['cluster', 'rekey']);
    const pending = refusal({
      code: 'KEY_CHANGE_PENDING',
      message: 'the rekey is preparing',
      hint: 'see holdfast cluster rekey --status',
    });
    expect(await said(['cluster', 'rotate'])).toEqual(pending);
    expect(await said(['cluster', 'rotate-jwt', '--yes'])).toEqual(pending);
    expect(await said(['cluster', 'encryption', 'off', '--yes'])).toEqual(pending);
    let fingerprint = '';
    await until(WITHIN_MS, 'a new control key', async () => {
      const { stdout } = await cluster.expectDone(['cluster', 'rekey', '--status', '--output', 'json']);
      ({ newFingerprint: fingerprint } = JSON.parse(stdout.toString()) as { newFingerprint: string });
      return fingerprint !== '';
    });
    expect(await said(['cluster', 'rekey', '--accept-fingerprint', wrong])).toEqual(
      refusal({
        code: 'CONTROL_KEY_MISMATCH',
        message: `the new control key is ${fingerprint}, and not ${wrong}`,
        hint: 'confirm the key that you hold a copy of, and no other',
      }),
    );
    expect(await said(['cluster', 'rekey', '--abort'])).toMatchObject({ code: 0, stderr: '' });
  });
});

describe('a change of the members', () => {
  it('needs a member', async () => {
    expect(await said(['member', 'remove', 'n9'])).toEqual(
      refusal({ code: 'MEMBER_UNKNOWN', message: 'no member "n9"', hint: 'see holdfast member list' }),
    );
  });

  it('leaves no cluster behind that lacks a majority', async () => {
    const leader = await cluster.leader();
    const [down, other] = ['n1', 'n2', 'n3'].filter((name) => name !== leader);
    await cluster.stop(present(down, 'a follower'));
    const { nodeId } = present(
      (await cluster.statuses()).flatMap(({ members }) => members).find(({ name }) => name === down),
      'the one that is down',
    );
    await until(WITHIN_MS, 'the leader misses it', async () =>
      (await cluster.statuses())
        .filter(({ role }) => role === 'leader')
        .every(({ members }) => members.some((one) => one.nodeId === nodeId && !one.reachable)),
    );
    const hints = {
      remove: 'bring the others back first, or remove with --force when they are lost for good',
      demote: 'bring the others back first',
    };
    for (const [verb, hint] of Object.entries(hints)) {
      expect(await said(['member', verb, present(other, 'the other follower')])).toEqual(
        refusal({
          code: 'QUORUM_AT_RISK',
          message: 'only 1 of the 2 voters that would be left can be reached',
          hint,
        }),
      );
    }
  });
});
