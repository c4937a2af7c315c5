import { describe, expect, it, vi } from 'vitest';
import { BUILT_IN_ROLES } from '../../../src/access/policy/builtInRoles.ts';
import { type Asker, decide } from '../../../src/access/policy/decide.ts';
import { type ParsedPolicy, parsePolicy } from '../../../src/access/policy/policy.ts';
import { ALL_RIGHTS, NO_RIGHTS, Rights } from '../../../src/access/policy/rights.ts';
import { CAPABILITIES, RuleTree } from '../../../src/access/policy/ruleTree.ts';
import { present } from '../../../src/base/assert.ts';
import type { CommandBody } from '../../../src/command/body.ts';
import { COMPARE_TARGET, type Compare, type Operation, RELATION } from '../../../src/proto/storage.ts';
import { bytes, put, read, remove } from '../../store/storeRig.ts';

const role = (name: string): ParsedPolicy => present(BUILT_IN_ROLES.get(name), name);
const token = (...policies: ParsedPolicy[]): Asker => ({ kind: 'token', rights: new Rights(policies) });
const CLIENT: Asker = { kind: 'client', rights: ALL_RIGHTS };
const NODE: Asker = { kind: 'node', rights: NO_RIGHTS };

const transaction = (success: readonly Operation[], compares: readonly Compare[] = []): CommandBody => ({
  kind: 'transaction',
  transaction: { compares, success, failure: [] },
});
const isAllowed = (asker: Asker, body: CommandBody): boolean => decide(asker, body).allowed;
const compare = (key: string, target: number): Compare => ({
  key: bytes(key),
  relation: RELATION.EQUAL,
  target,
  value: bytes(''),
  number: 0,
});
const policy = (rules: Record<string, string[]>, admin: string[] = []): ParsedPolicy =>
  parsePolicy({
    role: 'own',
    rules: Object.entries(rules).map(([path, capabilities]) => ({ path, capabilities })),
    admin,
  });

const KEY_CHANGE: CommandBody = { kind: 'abortKeyChange', id: 'x' };
const COMPACT: CommandBody = { kind: 'compact', revision: 1 };
const REVOKE: CommandBody = { kind: 'revokeAccessToken', id: 'x' };
const ADVANCE: CommandBody = { kind: 'advanceTime' };

describe('a command', () => {
  it('of a certified client is allowed, except what only nodes do for themselves', () => {
    for (const body of [transaction([put('secrets/x', '', true)]), KEY_CHANGE, COMPACT, REVOKE])
      expect(isAllowed(CLIENT, body)).toBe(true);
    expect(isAllowed(CLIENT, ADVANCE)).toBe(false);
  });

  it('of a node is allowed only when nodes do it for themselves', () => {
    expect(isAllowed(NODE, ADVANCE)).toBe(true);
    for (const body of [transaction([]), KEY_CHANGE, COMPACT, REVOKE, { kind: 'registerClient' } as const])
      expect(isAllowed(NODE, body)).toBe(false);
  });

  it.each<[string, readonly boolean[]]>([
    ['admin', [true, true, true]],
    ['operator', [true, true, false]],
    ['deployer', [false, false, false]],
    ['viewer', [false, false, false]],
  ])('of role %s: a compaction, a change of keys, a change of access: %j', (name, expected) => {
    expect([COMPACT, KEY_CHANGE, REVOKE].map((body) => isAllowed(token(role(name)), body))).toEqual(expected);
    expect(isAllowed(token(role(name)), { kind: 'registerClient' })).toBe(true);
    expect(isAllowed(token(role(name)), ADVANCE)).toBe(false);
  });
});

describe('a transaction', () => {
  const own = token(
    policy({ 'a/*': ['list', 'read', 'write'], 'a/b': ['write'], 'd/**': ['list', 'delete'] }),
  );

  it.each<[string, CommandBody, boolean]>([
    ['a put where writing is allowed', transaction([put('a/x')]), true],
    ['a put of a name that only begins the same', transaction([put('ab')]), false],
    ['a put below', transaction([put('a/x/y')]), false],
    ['a put of the pattern itself, taken as a name', transaction([put('a/*')]), true],
    ['a put with the value before', transaction([put('a/x', '', true)]), true],
    ['a put with a value before that may not be read', transaction([put('a/b', '', true)]), false],
    ['a blind put of the same', transaction([put('a/b')]), true],
    ['a get', transaction([read('a/x')]), true],
    ['a get of what may only be written', transaction([read('a/b')]), false],
    ['a range that holds more than the pattern', transaction([read('a/', 'a0')]), false],
    ['a deletion of all below', transaction([remove('d/', 'd0')]), true],
    ['a deletion that straddles the end', transaction([remove('d/x', 'd0\u0001')]), false],
    ['a deletion that begins before', transaction([remove('d', 'd0')]), false],
    ['a deletion of everything', transaction([remove('', '')]), false],
    ['a deletion with values that may not be read', transaction([remove('d/', 'd0', true)]), false],
    ['a compare of a version', transaction([], [compare('a/x', COMPARE_TARGET.VERSION)]), true],
    [
      'a compare of a version that may not be listed',
      transaction([], [compare('a/b', COMPARE_TARGET.VERSION)]),
      false,
    ],
    [
      'a compare of a value that may not be read',
      transaction([], [compare('d/x', COMPARE_TARGET.VALUE)]),
      false,
    ],
    ['prototypes', transaction([put('__proto__')]), false],
  ])('%s', (_what, body, expected) => {
    expect(isAllowed(own, body)).toBe(expected);
  });

  it('is denied for what a branch would do that is not taken, and says where', () => {
    const body: CommandBody = {
      kind: 'transaction',
      transaction: { compares: [], success: [put('a/x')], failure: [put('a/x'), put('z')] },
    };
    expect(decide(own, body)).toEqual({
      allowed: false,
      reason: 'no role allows to write this name',
      field: 'failure[1]',
    });
  });

  it('reads secret values for reveal only', () => {
    const [operator, deployer, admin] = ['operator', 'deployer', 'admin'].map((name) => token(role(name)));
    const asks = [
      transaction([read('secrets/x')]),
      transaction([read('', '')]),
      transaction([], [compare('secrets/x', COMPARE_TARGET.VALUE)]),
      transaction([put('secrets/x', '', true)]),
      transaction([remove('secrets/x', 'secrets/x\0', true)]),
    ];
    for (const body of asks) {
      expect(isAllowed(present(operator, 'operator'), body)).toBe(false);
      expect(isAllowed(present(deployer, 'deployer'), body)).toBe(false);
      expect(isAllowed(present(admin, 'admin'), body)).toBe(true);
    }
    expect(isAllowed(present(deployer, 'deployer'), transaction([read('apps/x')]))).toBe(true);
  });
});

describe('what may be granted', () => {
  const granter = new Rights([
    policy({ 'a/**': ['read', 'write'], 'a/secret': ['write'], 'b/x': ['read'] }, ['access']),
  ]);

  it.each<[string, ParsedPolicy, boolean]>([
    ['less', policy({ 'a/b/**': ['read'] }, ['access']), true],
    ['one name', policy({ 'b/x': ['read'] }), true],
    ['nothing', policy({ '**': [] }), true],
    ['a denial', policy({ 'z/**': [] }), true],
    ['another area', policy({}, ['keys']), false],
    ['another capability', policy({ 'a/b': ['delete'] }), false],
    ['what holds a name that is denied', policy({ 'a/**': ['read'] }), false],
    ['what holds such a name by a *', policy({ 'a/*': ['read'] }), false],
    ['what that name allows too', policy({ 'a/**': ['write'] }), true],
    ['everything', policy({ '**': ['read'] }), false],
  ])('is %s: %j', (_what, wanted, expected) => {
    expect(granter.includes(wanted)).toBe(expected);
  });

  it('is everything to an administrator, and to nobody who has nothing', () => {
    for (const parsed of BUILT_IN_ROLES.values()) {
      expect(ALL_RIGHTS.includes(parsed)).toBe(true);
      expect(NO_RIGHTS.includes(parsed)).toBe(false);
    }
  });
});

describe('a policy of a thousand patterns that lie in one range', () => {
  it('has each capability asked for once, and no more than a few patterns looked at for it', () => {
    const rules = Object.fromEntries(
      Array.from({ length: 1_000 }, (_, at) => [`*/x${at}`, [...CAPABILITIES]] as const),
    );
    const wide = policy({ ...rules, '**': [...CAPABILITIES] });
    const rights = new Rights([wide]);
    const lookUp = vi.spyOn(RuleTree.prototype, 'allowsAll');
    try {
      expect(rights.includes(wide)).toBe(true);
      expect(lookUp).toHaveBeenCalledTimes(CAPABILITIES.length);
      const trees = lookUp.mock.contexts as RuleTree[];
      expect(new Set(trees.map(({ reachCount }) => reachCount))).toEqual(new Set([1]));
    } finally {
      lookUp.mockRestore();
    }
  });

  it('has the capabilities of all of them asked for', () => {
    const most = new Rights([policy({ '**': ['read', 'write'] })]);
    expect(most.includes(policy({ '*/a': ['read'], '*/b': ['write'] }))).toBe(true);
    expect(most.includes(policy({ '*/a': ['read'], '*/b': ['write'], '*/c': ['delete'] }))).toBe(false);
    expect(most.includes(policy({ 'a/': ['read'], 'a/**': ['delete'] }))).toBe(false);
    expect(most.includes(policy({ 'a/': ['delete'], 'a/**': ['read'] }))).toBe(false);
  });
});

describe('a policy', () => {
  const parse = (rules: readonly { path: string; capabilities: string[] }[], admin: string[] = []) =>
    parsePolicy({ role: 'x', rules, admin });

  it.each<[string, () => ParsedPolicy, string]>([
    [
      'an unknown capability',
      () => parse([{ path: 'a', capabilities: ['read', 'Read'] }]),
      'rules[0].capabilities',
    ],
    [
      'a capability of a prototype',
      () => parse([{ path: 'a', capabilities: ['__proto__'] }]),
      'rules[0].capabilities',
    ],
    ['an unknown area', () => parse([], ['everything']), 'admin'],
    [
      'a path twice',
      () =>
        parse([
          { path: 'a', capabilities: [] },
          { path: 'a', capabilities: ['read'] },
        ]),
      'rules[1].path',
    ],
    ['no path', () => parse([{ path: '', capabilities: [] }]), 'rules[0].path'],
  ])('is refused with %s', (_what, made, field) => {
    expect(made).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT', field }) as Error);
  });
});
