import { describe, expect, it } from 'vitest';
import type { FaultKind } from './faultKind.ts';
import { LogTimes } from './logTimes.ts';
import type { Network } from './network.ts';
import { Scheduler } from './scheduler.ts';
import { SeededChoice } from './seededChoice.ts';
import { checkSteadyLeader } from './steadyLeader.ts';
import type { Target, World } from './target.ts';

describe('log time', () => {
  const at = (appliedIndex: number, logTimeMs: number, name = 'n1') => ({ name, appliedIndex, logTimeMs });
  const observed = (...statuses: readonly ReturnType<typeof at>[]) => {
    const times = new LogTimes();
    return statuses.map((status) => times.observe(status)).filter((problem) => problem !== null);
  };

  it('is the same for the same index, and rises or stands still', () => {
    expect(observed(at(5, 100), at(5, 100, 'n2'), at(9, 300), at(7, 100, 'n2'), at(8, 300, 'n3'))).toEqual(
      [],
    );
  });

  it.each([
    { what: 'falls', second: at(6, 99, 'n2') },
    { what: 'was later before', second: at(4, 101, 'n2') },
    { what: 'is another on another node', second: at(5, 101, 'n2') },
  ])('is found out when it $what', ({ second }) => {
    expect(observed(at(1, 50), at(5, 100), second)).toHaveLength(1);
  });
});

describe('a fault on a follower of a cluster that is well', () => {
  /** A cluster of three that `n1` leads, and what comes of it when `n2` or `n3` is harmed. */
  async function harmed(onHarm: { readonly term: number; readonly leader: string }) {
    let standing = { leader: 'n1', term: 3, lastIndex: 9 };
    const victims: string[] = [];
    const violations: string[] = [];
    const target = {
      kind: 'holdfast',
      members: () => ['n1', 'n2', 'n3'],
      standing: () => Promise.resolve(standing),
      lastWords: () => '',
    } as unknown as Target;
    const world: World = {
      target,
      network: {} as Network,
      disks: null,
      random: new SeededChoice(1),
      unharmed: () => target.members(),
      expectExit: () => undefined,
      holdKeys: () => Promise.resolve(() => undefined),
      violation: (text) => violations.push(text),
    };
    const kind: FaultKind = {
      name: 'harm',
      needs: [],
      weight: 1,
      takes: 'one',
      targets: ['holdfast'],
      inject: () => Promise.resolve(null),
      toFollower: (_world, name) => {
        victims.push(name);
        standing = { ...standing, ...onHarm };
        return Promise.resolve({
          what: name,
          holds: [name],
          lastsMs: 1,
          heal: () => Promise.resolve(),
          struck: () => true,
        });
      },
    };
    const note = () => undefined;
    const scheduler = new Scheduler({ kinds: [kind], world, note });
    await checkSteadyLeader({ kinds: [kind], world, scheduler, note });
    expect(victims).toHaveLength(1);
    expect(victims[0]).not.toBe('n1');
    expect(scheduler.records).toHaveLength(1);
    return violations;
  }

  it('may leave the term and the leader as they were', async () => {
    expect(await harmed({ term: 3, leader: 'n1' })).toEqual([]);
  });

  it.each([
    { term: 4, leader: 'n1' },
    { term: 4, leader: 'n2' },
  ])('must not cause an election: $leader in term $term', async (after) => {
    expect(await harmed(after)).toEqual([
      expect.stringContaining(`n1 in term 3 led before, ${after.leader} in term 4 leads after`),
    ]);
  });
});
