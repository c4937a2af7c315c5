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
