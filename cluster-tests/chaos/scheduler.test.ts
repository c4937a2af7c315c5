import { describe, expect, it } from 'vitest';
import { Cleanup } from './cleanup.ts';
import type { FaultKind } from './faultKind.ts';
import { mayLack } from './means.ts';
import type { Network } from './network.ts';
import { parseOptions } from './options.ts';
import { percentile } from './recovery.ts';
import { Scheduler } from './scheduler.ts';
import { SeededChoice } from './seededChoice.ts';
import { type ChaosSummary, kindSummaries, renderSummary } from './summary.ts';
import type { Target, World } from './target.ts';

const NAMES = ['n1', 'n2', 'n3'];
const SUMMARY: ChaosSummary = {
  target: 'holdfast',
  seed: 1,
  nodes: 3,
  seconds: 1,
  operations: 0,
  faults: 0,
  faultsPerHour: 0,
  kinds: [],
  notRun: [],
  segments: 0,
  rekeys: 0,
  violations: [],
  dir: null,
};

/** A cluster that only remembers who was held when. */
function pretended(seed: number, strikes = true) {
  const violations: string[] = [];
  const held = new Set<string>();
  let most = 0;
  const told: string[] = [];
  const target = { members: () => NAMES, isRunning: () => true } as unknown as Target;
  const random = new SeededChoice(seed);
  const world: World = {
    target,
    network: {} as Network,
    disks: null,
    random,
    unharmed: () => NAMES.filter((name) => !held.has(name)),
    expectExit: () => undefined,
    holdKeys: () => Promise.resolve(() => undefined),
    violation: (text) => violations.push(text),
  };
  const kind: FaultKind = {
    name: 'hold one',
    needs: [],
    weight: 1,
    takes: 'one',
    targets: ['holdfast'],
    inject: () => {
      const name = random.one(world.unharmed());
      held.add(name);
      told.push(name);
      most = Math.max(most, held.size);
      return Promise.resolve({
        what: name,
        holds: [name],
        lastsMs: 20,
        heal: () => {
          held.delete(name);
          return Promise.resolve();
        },
        struck: () => strikes,
      });
    },
  };
  return { kind, world, violations, held, most: () => most, told };
}

describe('the scheduler', () => {
  it('leaves a majority alone, and heals everything in the end', async () => {
    const { kind, world, violations, held, most } = pretended(3);
    const scheduler = new Scheduler({ kinds: [kind], world, note: () => undefined });
    await scheduler.run(3_000, new AbortController().signal);
    expect(scheduler.records.length).toBeGreaterThan(0);
    expect(most()).toBe(1);
    expect(held.size).toBe(0);
    expect(scheduler.records.every((record) => record.healedMs !== null)).toBe(true);
    expect(violations).toEqual([]);
  });

  it('lets one come alone that has to', async () => {
    const { kind, world } = pretended(3);
    const inForce = new Set<string>();
    const together: string[] = [];
    const watched = (name: string, weight: number): FaultKind => ({
      ...kind,
      name,
      weight,
      takes: 'none',
      ...(name === 'alone' ? { alone: true as const } : {}),
      inject: () => {
        if (inForce.size > 0) together.push(`${name} with ${[...inForce].join()}`);
        inForce.add(name);
        const heal = () => {
          inForce.delete(name);
          return Promise.resolve();
        };
        return Promise.resolve({
          what: '',
          holds: [],
          lastsMs: name === 'other' ? 3_000 : 300,
          heal,
          struck: () => true,
        });
      },
    });
    const kinds = [watched('alone', 2), watched('other', 1)];
    const scheduler = new Scheduler({ kinds, world, note: () => undefined });
    await scheduler.run(15_000, new AbortController().signal);
    expect(new Set(scheduler.records.map((record) => record.kind))).toEqual(new Set(['alone', 'other']));
    expect(together.filter((text) => text.includes('alone'))).toEqual([]);
  }, 60_000);

  it('tells of a fault that cannot be injected or healed', async () => {
    const { kind, world, violations } = pretended(1);
    const broken = [
      { ...kind, name: 'no start', inject: () => Promise.reject(new Error('cannot')) },
      {
        ...kind,
        name: 'no end',
        takes: 'none' as const,
        inject: () =>
          Promise.resolve({
            what: '',
            holds: [],
            lastsMs: 0,
            heal: () => Promise.reject(new Error('will not')),
            struck: () => true,
          }),
      },
    ];
    for (const one of broken)
      await new Scheduler({ kinds: [one], world, note: () => undefined }).run(
        1,
        new AbortController().signal,
      );
    expect(violations.join('\n')).toMatch(/no start could not be injected.*\n.*no end .*could not be healed/);
  });
});

describe('a fault that nothing met', () => {
  it.each([true, false])('is told of and does not count (struck: %s)', async (strikes) => {
    const { kind, world } = pretended(5, strikes);
    const noted: string[] = [];
    const scheduler = new Scheduler({ kinds: [kind], world, note: (text) => noted.push(text) });
    await scheduler.run(1, new AbortController().signal);
    const kinds = kindSummaries(scheduler.records);
    const counted = strikes ? { count: 1, missed: 0 } : { count: 0, missed: 1 };
    expect(kinds[0]).toMatchObject({ kind: 'hold one', ...counted });
    expect(noted.join('\n').includes('(did not strike)')).toBe(!strikes);
    const summary = { ...SUMMARY, kinds };
    expect(renderSummary(summary).includes('did not strike: hold one (1 of 1)')).toBe(!strikes);
  });
});

describe('chance', () => {
  it('is the same from the same seed', () => {
    const draw = (seed: number) => {
      const random = new SeededChoice(seed);
      return Array.from({ length: 20 }, () => random.logarithmic(10, 1_000));
    };
    expect(draw(5)).toEqual(draw(5));
    expect(draw(5)).not.toEqual(draw(6));
    expect(Math.min(...draw(5))).toBeGreaterThanOrEqual(10);
    expect(Math.max(...draw(5))).toBeLessThanOrEqual(1_000);
  });
});

describe('what a machine lacks', () => {
  it.each([
    { environment: {}, may: true },
    { environment: { CI: 'true' }, may: false },
    { environment: { CI: 'true', CI_WITHOUT: 'docker,loopImages' }, may: false },
    { environment: { CI: 'true', CI_WITHOUT: 'docker,namespaces' }, may: true },
  ])('is a failure in CI, unless it is said: $environment', ({ environment, may }) => {
    expect(mayLack('namespaces', environment)).toBe(may);
  });
});

describe('figures', () => {
  it('are what so many percent are not above', () => {
    const values = Array.from({ length: 100 }, (_none, i) => 100 - i);
    expect([50, 95, 100].map((percent) => percentile(values, percent))).toEqual([50, 95, 100]);
    expect(percentile([7], 95)).toBe(7);
  });

  it('tell of faults that nothing came back after', () => {
    const record = { kind: 'kill one', what: '', injectedMs: 0, healedMs: 1, struck: true, afterInjectMs: 5 };
    const [kill] = kindSummaries([
      { ...record, afterHealMs: 10 },
      { ...record, afterHealMs: null },
    ]);
    expect(kill?.afterHeal).toEqual({ median: 10, p95: 10, max: 10, never: 1 });
  });
});

it('cleans up the last first, and the rest where one fails', async () => {
  const done: string[] = [];
  const cleanup = new Cleanup();
  cleanup.add('first', () => done.push('first'));
  cleanup.add('second', () => Promise.reject(new Error('on purpose')));
  cleanup.add('third', () => done.push('third'));
  await Promise.all([cleanup.run(), cleanup.run()]);
  expect(done).toEqual(['third', 'first']);
});

it.each([['--minutes', '0'], ['--target', 'other'], ['--program', 'none'], ['--unknown']])(
  'refuses %s %s',
  (...args) => {
    expect(() => parseOptions(args)).toThrow();
  },
);
