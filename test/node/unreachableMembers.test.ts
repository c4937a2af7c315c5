import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { HoldfastClient, MemberStatus } from '../../src/client/index.ts';
import { joinNode } from '../../src/node/joinNode.ts';
import { copyKeys, NodeFolders } from './nodeFolder.ts';
import { type ThreeNodes, threeNodes } from './threeNodes.ts';
import { until } from './until.ts';

/** Three real nodes in one process, and members that are not there; the tests below go on from one another. */
const folders = new NodeFolders();
let three: ThreeNodes;
let client: HoldfastClient;
let written = 0;

beforeAll(async () => {
  three = await threeNodes(folders);
  ({ client } = three);
}, 60_000);
afterAll(() => folders.close());

/** Joins as a learner that shall become a voter, and is never started. */
async function joinAndStayAway(name: string): Promise<void> {
  const folder = await folders.folder(name);
  copyKeys(three.thirdFolder, folder);
  const { token } = await client.cluster.addToken({ role: 'voter' });
  await joinNode(folder.configuration, token);
}

/** As the leader sees it. */
async function member(name: string): Promise<MemberStatus | undefined> {
  const { members } = await client.cluster.members();
  return members.find((one) => one.name === name);
}

async function voters(): Promise<readonly string[]> {
  const { members } = await client.cluster.members();
  return members.filter(({ role }) => role === 'voter').map(({ name }) => name);
}

async function expectWrites(): Promise<void> {
  for (let i = 0; i < 10; i += 1) {
    written += 1;
    await client.put(`written/${written}`, 'value');
  }
  expect((await client.range({ prefix: 'written/', countOnly: true })).count).toBe(written);
}

describe('a member that was added and cannot be reached', () => {
  it('stays a learner, is shown as such, and holds nothing up', async () => {
    await joinAndStayAway('n4');
    await expectWrites();
    await until(async () => (await member('n4'))?.reachable === false, 'n4 is known to be away');
    expect(await member('n4')).toMatchObject({ role: 'learner', matchIndex: 0 });
    await expectWrites();
    expect(await voters()).toHaveLength(3);
  });

  it('is not made a voter by hand either', async () => {
    await expect(client.cluster.promote({ member: 'n4' }, { timeoutMs: 3_000 })).rejects.toMatchObject({
      code: 'MEMBERSHIP_CHANGE_PENDING',
    });
    expect(await member('n4')).toMatchObject({ role: 'learner' });
  });

  it('counts for nothing: two of three voters are a majority still', async () => {
    await folders.stop(three.third);
    await until(async () => (await member('n3'))?.reachable === false, 'n3 is known to be gone');
    await expectWrites();
  });

  it('is taken out, and another one can be added', async () => {
    await client.cluster.remove({ member: 'n4' });
    expect(await member('n4')).toBeUndefined();
    await joinAndStayAway('n5');
    await expectWrites();
  });
});

describe('with one of three voters gone', () => {
  it('a change that would cost the quorum is refused, and changes nothing', async () => {
    const { members } = await client.cluster.members();
    const follower = members.find(({ role, leader, reachable }) => role === 'voter' && !leader && reachable);
    const names = { member: follower?.name ?? '' };
    await expect(client.cluster.remove(names)).rejects.toMatchObject({ code: 'QUORUM_AT_RISK' });
    await expect(client.cluster.demote(names)).rejects.toMatchObject({ code: 'QUORUM_AT_RISK' });
    expect(await voters()).toHaveLength(3);
    await expectWrites();
  });

  it('the one that is gone can go, then one of the two that are left, but not the last', async () => {
    await client.cluster.remove({ member: 'n3' });
    expect(await voters()).toEqual(['n1', 'n2']);
    await client.cluster.remove({ member: 'n2' });
    expect(await voters()).toEqual(['n1']);
    await expect(client.cluster.remove({ member: 'n1' })).rejects.toMatchObject({ code: 'QUORUM_AT_RISK' });
    await expectWrites();
    expect(await member('n5')).toMatchObject({ role: 'learner' });
  });
});

it('never met what stops a node', () => {
  expect(folders.fatal).toEqual([]);
});
