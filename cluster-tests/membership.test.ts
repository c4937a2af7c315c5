import { afterAll, beforeAll, expect, it } from 'vitest';
import { LocalCluster, newNode } from './localCluster.ts';
import { until } from './until.ts';

const LIMIT_MS = 120_000;
let cluster: LocalCluster;

beforeAll(async () => {
  cluster = await LocalCluster.form(3);
}, LIMIT_MS);

afterAll(async () => {
  await cluster?.destroy();
});

it(
  'a member that slept through a change follows a leader that it has never heard of',
  async () => {
    await cluster.stop('n3');
    const newcomer = await newNode(cluster.dir, 'n4');
    cluster.nodes.push(newcomer);
    await cluster.join(newcomer);
    cluster.start('n4');
    await cluster.untilVoters(3);
    const client = await cluster.client();
    await client.put('while/away', 'n4 came');
    await until(LIMIT_MS / 2, 'n4 to lead', async () => {
      await client.cluster.transferLeadership({ member: 'n4' });
      return (await cluster.leader()) === 'n4';
    });
    // Nobody else may speak for the leader: what n3 learns, it learns from n4.
    cluster.start('n3');
    await cluster.untilVoters(4);
    expect((await client.get('while/away')).item?.value.toString()).toBe('n4 came');
    expect(new Set(await cluster.equalDigests()).size).toBe(1);
    await client.close();
  },
  LIMIT_MS,
);

it(
  'a leader can be removed, its node says so, and its id never comes back',
  async () => {
    const removed = await cluster.leader();
    await cluster.expectDone(['member', 'remove', removed]);
    const rest = cluster.nodes.filter((node) => node.name !== removed);
    await until(LIMIT_MS / 2, 'another leader', async () => {
      const client = await cluster.client(rest.map((node) => node.name));
      try {
        const { members } = await client.cluster.members({ timeoutMs: 1_000 });
        return members.length === rest.length && members.every((member) => member.name !== removed);
      } finally {
        await client.close();
      }
    });
    await cluster.stop(removed);
    cluster.start(removed);
    await until(LIMIT_MS / 2, 'the removed node to say so', () => cluster.lastWords().includes('removed'));
    const client = await cluster.client(rest.map((node) => node.name));
    await client.put('after/removal', 'still writable');
    expect((await client.get('after/removal')).item?.value.toString()).toBe('still writable');
    await client.close();
  },
  LIMIT_MS,
);
