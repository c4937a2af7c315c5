import { describe, expect, it } from 'vitest';
import { parsePathPattern } from '../../../src/access/policy/pathPattern.ts';
import {
  CAPABILITIES,
  type Capability,
  type RulesOfPolicy,
  RuleTree,
} from '../../../src/access/policy/ruleTree.ts';
import { SeededRandom } from '../../../src/base/random.ts';
import { obviouslyDecisive } from './obviousRules.ts';

const rule = (path: string, ...capabilities: readonly Capability[]) => ({
  pattern: parsePathPattern(path, 'path'),
  capabilities: new Set(capabilities),
});

describe('the rule that decides', () => {
  const tree = new RuleTree([
    {
      policy: 'apps',
      rules: [
        rule('**', 'list'),
        rule('prod/**', 'list', 'read'),
        rule('prod/*/password', 'read'),
        rule('prod/db/*', 'write'),
        rule('prod/db/password'),
        rule('a', 'read'),
        rule('__proto__', 'delete'),
      ],
    },
    { policy: 'more', rules: [rule('prod/**', 'write'), rule('prod/db/*'), rule('a', 'write')] },
  ]);

  it.each<[string, string, readonly string[], readonly Capability[]]>([
    ['x', '**', ['apps'], ['list']],
    ['prod', '**', ['apps'], ['list']],
    ['production/x', '**', ['apps'], ['list']],
    ['prod/', 'prod/**', ['apps', 'more'], ['list', 'read', 'write']],
    ['prod/x/y/z', 'prod/**', ['apps', 'more'], ['list', 'read', 'write']],
    ['prod/web/password', 'prod/*/password', ['apps'], ['read']],
    ['prod/web/password/x', 'prod/**', ['apps', 'more'], ['list', 'read', 'write']],
    // The text comes before `*`, at the first place where they differ.
    ['prod/db/user', 'prod/db/*', ['apps', 'more'], []],
    ['prod/db/password', 'prod/db/password', ['apps'], []],
    ['a', 'a', ['apps', 'more'], ['read', 'write']],
    ['ab', '**', ['apps'], ['list']],
    ['__proto__', '__proto__', ['apps'], ['delete']],
    ['constructor', '**', ['apps'], ['list']],
  ])('for %s is %s', (name, pattern, policies, capabilities) => {
    const decisive = tree.decisive(name);
    expect(decisive).toEqual({ pattern, policies, capabilities: new Set(capabilities) });
  });

  it('is none where no pattern is for the name', () => {
    const narrow = new RuleTree([{ policy: 'apps', rules: [rule('prod/*', 'read')] }]);
    for (const name of ['', 'prod', 'x/y', 'prod/a/b', 'prodx/a']) expect(narrow.decisive(name)).toBeNull();
    expect(new RuleTree([]).decisive('a')).toBeNull();
  });

  it('is the same as that of looking at every rule, in 100,000 cases', () => {
    const random = new SeededRandom(11);
    let decided = 0;
    for (let round = 0; round < 1_000; round += 1) {
      const policies = somePolicies(random);
      const tree = new RuleTree(policies);
      for (let time = 0; time < 100; time += 1) {
        const name = someName(random);
        const expected = obviouslyDecisive(policies, name);
        if (expected !== null) decided += 1;
        expect(tree.decisive(name), name).toEqual(expected);
      }
    }
    expect(decided).toBeGreaterThan(50_000);
  }, 60_000);
});

describe('a range of names', () => {
  const tree = new RuleTree([
    {
      policy: 'apps',
      rules: [
        rule('prod/**', 'delete', 'list'),
        rule('prod/db/password', 'list'),
        rule('prod/*/key', 'delete'),
        rule('test/**', 'delete'),
        rule('flat/*', 'delete'),
      ],
    },
  ]);

  it.each<[string, string, string, boolean]>([
    ['all of a pattern', 'test/', 'test0', true],
    ['a part of it', 'test/a', 'test/b', true],
    ['more than it', 'test/', 'test1', false],
    ['more before it', 'test', 'test0', false],
    ['no bound', 'test/', '', false],
    ['everything', '', '', false],
    ['names that only begin alike', 'prod', 'prod/', false],
    ['one that is denied among them', 'prod/', 'prod0', false],
    ['all before the denied one', 'prod/', 'prod/db/password', true],
    ['the denied one alone', 'prod/db/password', 'prod/db/password\0', false],
    ['all behind it', 'prod/db/password\0', 'prod0', true],
    ['names of one segment more', 'flat/', 'flat0', false],
  ])('with %s', (_, start, end, expected) => {
    expect(tree.allowsAll({ start, end }, 'delete')).toBe(expected);
  });

  it('is allowed without a bound to whoever may do it with all names', () => {
    const all = new RuleTree([{ policy: 'admin', rules: [rule('**', 'delete')] }]);
    for (const range of [
      { start: '', end: '' },
      { start: 'a', end: '' },
      { start: 'a', end: 'b' },
    ])
      expect(all.allowsAll(range, 'delete')).toBe(true);
    const but = new RuleTree([{ policy: 'admin', rules: [rule('**', 'delete'), rule('*/x')] }]);
    expect(but.allowsAll({ start: 'a', end: 'b' }, 'delete')).toBe(false);
  });

  it('is allowed only when each name in it is, in 100,000 cases', () => {
    const random = new SeededRandom(12);
    const names = everyName();
    let allowed = 0;
    for (let round = 0; round < 10_000; round += 1) {
      const tree = new RuleTree(somePolicies(random));
      for (let time = 0; time < 10; time += 1) {
        const [start, end] = [one(random, names), one(random, [...names, ''])];
        if (!tree.allowsAll({ start, end }, 'read')) continue;
        const inside = names.filter((name) => name >= start && (end === '' || name < end));
        const denied = inside.filter((name) => tree.decisive(name)?.capabilities.has('read') !== true);
        expect(denied, `${start} to ${end}`).toEqual([]);
        if (inside.length > 1) allowed += 1;
      }
    }
    expect(allowed).toBeGreaterThan(100);
  }, 60_000);
});

describe('patterns of the same range', () => {
  it('are looked at as one, whatever they allow', () => {
    const rules = Array.from({ length: 1_000 }, (_, at) => rule(`*/x${at}`, 'read', 'list'));
    const open = { start: '', end: '' };
    const tree = new RuleTree([{ policy: 'many', rules: [rule('**', 'read'), ...rules] }]);
    expect([tree.reachCount, tree.allowsAll(open, 'read'), tree.allowsAll(open, 'list')]).toEqual([
      1,
      true,
      false,
    ]);
    const denying = new RuleTree([{ policy: 'many', rules: [rule('**', 'read'), ...rules, rule('*/y')] }]);
    expect([denying.reachCount, denying.allowsAll(open, 'read')]).toEqual([1, false]);
  });

  it('are two where one is a name and the other all that begin with it', () => {
    const tree = new RuleTree([{ policy: 'p', rules: [rule('a/', 'read'), rule('a/**', 'read', 'list')] }]);
    expect(tree.reachCount).toBe(2);
    expect(tree.allowsAll({ start: 'a/', end: 'a0' }, 'list')).toBe(false);
    expect(tree.allowsAll({ start: 'a/\0', end: 'a0' }, 'list')).toBe(true);
  });
});

/** All of up to three segments. */
function everyName(): readonly string[] {
  const more = (names: readonly string[]) => names.flatMap((name) => TEXTS.map((text) => `${name}/${text}`));
  const [first, second] = [TEXTS, more(TEXTS)];
  return [...first, ...second, ...more(second)];
}

const TEXTS = ['a', 'b', 'ab', ''] as const;

function somePolicies(random: SeededRandom): readonly RulesOfPolicy[] {
  const count = (max: number) => random.integer({ min: 1, max });
  return Array.from({ length: count(4) }, (_, at) => ({
    policy: `p${at}`,
    rules: Array.from({ length: count(8) }, () => rule(somePattern(random), ...someCapabilities(random))),
  }));
}

function somePattern(random: SeededRandom): string {
  const parts = Array.from({ length: random.integer({ min: 1, max: 4 }) }, () =>
    one(random, [...TEXTS, '*', '*']),
  );
  if (random.integer({ min: 0, max: 3 }) === 0) parts.push('**');
  const text = parts.join('/');
  return text === '' ? '**' : text;
}

function someName(random: SeededRandom): string {
  return Array.from({ length: random.integer({ min: 1, max: 5 }) }, () => one(random, TEXTS)).join('/');
}

function someCapabilities(random: SeededRandom): readonly Capability[] {
  if (random.integer({ min: 0, max: 4 }) === 0) return [];
  return CAPABILITIES.filter(() => random.integer({ min: 0, max: 2 }) === 0);
}

function one<T>(random: SeededRandom, of: readonly T[]): T {
  return of[random.integer({ min: 0, max: of.length })] as T;
}
