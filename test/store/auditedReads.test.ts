import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/base/limits.ts';
import type { ValueRead } from '../../src/proto/audit.ts';
import type { Principal } from '../../src/proto/storage.ts';
import { bytes, CLIENT, codeOf, command, put, remove, StoreRig } from './storeRig.ts';

let rig: StoreRig;
beforeEach(async () => {
  rig = await StoreRig.create();
});
afterEach(() => rig.destroy());

describe('a read of audited values', () => {
  const VIEWER: Principal = { kind: 'token', name: '00000000000000a1', address: '' };
  const oneName = (name: string, given: Partial<ValueRead> = {}): ValueRead => ({
    ...range(name, `${name}\0`),
    ...given,
  });
  const range = (start: string, end: string, given: Partial<ValueRead> = {}): ValueRead => ({
    range: { start: bytes(start), end: bytes(end) },
    revision: 0,
    limit: 0,
    from: bytes(''),
    history: false,
    ...given,
  });
  const ask = (reads: readonly ValueRead[], by = CLIENT) => {
    const outcome = rig.apply(command({ readValues: { reads } }, by))[0];
    return outcome?.read?.reads.map(({ revision, names, failure }) =>
      failure ? failure.code : `${revision}: ${names.map((name) => Buffer.from(name).toString()).join(' ')}`,
    );
  };
  const limited = (rules: Record<string, string[]>) => {
    const policy = {
      role: 'own',
      admin: [],
      rules: Object.entries(rules).map(([path, capabilities]) => ({ path, capabilities })),
    };
    const token = {
      id: VIEWER.name,
      secretHash: Buffer.alloc(32),
      description: '',
      roles: ['own'],
      ttlMs: 0,
    };
    rig.apply(command({ putPolicy: { policy } }), command({ createAccessToken: token }));
  };

  it('says which names may be delivered, at which revision, and records them', async () => {
    rig.run(put('secrets/a', '1'), put('secrets/b', '2'), put('open', '3'));
    rig.run(put('secrets/a', '4'));
    rig.run(remove('secrets/b'));
    expect(
      ask([oneName('secrets/a'), oneName('secrets/b'), oneName('secrets/b', { revision: 2 }), range('', '')]),
    ).toEqual(['3: secrets/a', '3: ', '2: secrets/b', '3: secrets/a']);
    expect(ask([oneName('secrets/b', { history: true }), oneName('open')])).toEqual(['3: secrets/b', '3: ']);
    expect(await rig.deeds(6)).toEqual([
      'kv.reveal secrets/a',
      'kv.reveal secrets/b',
      'kv.reveal secrets/a',
      'kv.reveal secrets/b',
    ]);
  });

  it('goes page by page', () => {
    rig.run(...['a', 'b', 'c', 'd'].map((name) => put(`secrets/${name}`)));
    const page = range('secrets/', 'secrets0', { limit: 2 });
    expect(ask([page, { ...page, from: bytes('secrets/c') }])).toEqual([
      '1: secrets/a secrets/b',
      '1: secrets/c secrets/d',
    ]);
  });

  it('records no more than the bytes of a page let out', async () => {
    const names = ['a', 'b', 'c', 'd', 'e'].map((name) => `secrets/${name}`);
    const value = 'x'.repeat(LIMITS.pageBytesMax / 4);
    for (const name of names) rig.run(put(name, value));
    const before = rig.store.audit.head.sequence;
    const [outcome] = rig.apply(command({ readValues: { reads: [range('secrets/', 'secrets0')] } }));
    expect(outcome?.read?.reads[0]?.next.toString()).toBe('secrets/d');
    expect(await rig.deeds(before + 1)).toEqual(names.slice(0, 3).map((name) => `kv.reveal ${name}`));
    const bounds = { start: 'secrets/', end: 'secrets0', revision: 0 };
    const page = rig.store.range({ ...bounds, limit: 0, keysOnly: false, countOnly: false });
    expect(page.items.map(({ key }) => String(key))).toEqual(names.slice(0, 3));
  });

  it('goes over a bounded number of names, and says where it goes on', () => {
    const names = Array.from(
      { length: LIMITS.valueReadVisitsMax + 1 },
      (_unused, at) => `secrets/${String(at).padStart(5, '0')}`,
    );
    for (let at = 0; at < names.length; at += LIMITS.transactionOperationsMax)
      rig.run(...names.slice(at, at + LIMITS.transactionOperationsMax).map((name) => put(name)));
    const [last = ''] = names.slice(-1);
    limited({ [last]: ['list', 'read', 'reveal'] });
    const next = (read: ValueRead): string => {
      const outcome = rig.apply(command({ readValues: { reads: [read] } }, VIEWER))[0];
      return String(outcome?.read?.reads[0]?.next);
    };
    const whole = range('', '');
    expect([next(whole), next({ ...whole, from: bytes(last) })]).toEqual([last, '']);
    const { revision } = rig.store;
    expect(ask([whole, { ...whole, from: bytes(last) }], VIEWER)).toEqual([`${revision}: `, `${revision}: `]);
    expect(ask([{ ...whole, from: bytes(last) }], VIEWER)).toEqual([`${revision}: ${last}`]);
  });

  it('is denied by itself, of one name, and leaves out of a range what may not be read', async () => {
    rig.run(put('secrets/a'), put('secrets/b'), put('secrets/c'));
    limited({
      'secrets/a': ['list', 'read', 'reveal'],
      'secrets/b': ['list', 'read'],
      'secrets/c': ['reveal'],
    });
    const before = rig.store.audit.head.sequence;
    expect(ask([oneName('secrets/a'), oneName('secrets/b'), range('', '')], VIEWER)).toEqual([
      '1: secrets/a',
      'PERMISSION_DENIED',
      '1: secrets/a',
    ]);
    expect(await rig.deeds(before + 1)).toEqual([
      'kv.reveal secrets/a',
      'kv.reveal secrets/b PERMISSION_DENIED',
      'kv.reveal secrets/a',
    ]);
  });

  it('of who is nobody any more is recorded by name and by range, and tells nothing', async () => {
    rig.run(put('secrets/a'));
    limited({ '**': ['list', 'read', 'reveal'] });
    rig.apply(command({ revokeAccessToken: { id: VIEWER.name } }));
    const before = rig.store.audit.head.sequence;
    const reads = [oneName('secrets/a', { history: true }), range('secrets/', 'secrets0'), range('a', '')];
    expect(ask(reads, VIEWER)).toBeUndefined();
    expect(await rig.deeds(before + 1)).toEqual([
      'kv.reveal secrets/a UNAUTHENTICATED',
      'kv.reveal secrets/..secrets0 UNAUTHENTICATED',
      'kv.read a..\u00ff UNAUTHENTICATED',
    ]);
    expect((await rig.auditRecords(before + 1))[0]).toMatchObject({
      principalKind: 'token',
      principal: VIEWER.name,
      detail: 'history',
    });
  });

  it('is refused of a revision that is not there, and records nothing', async () => {
    rig.run(put('secrets/a'));
    expect(ask([oneName('secrets/a', { revision: 9 })])).toEqual(['FUTURE_REVISION']);
    expect(await rig.deeds(2)).toEqual([]);
  });

  it.each([
    ['no reads', []],
    ['too many', Array.from({ length: LIMITS.valueReadsMax + 1 }, () => oneName('a'))],
    ['no range', [{ ...oneName('a'), range: null }]],
    ['a range that ends before it begins', [range('b', 'a')]],
    ['a page that is too large', [oneName('a', { limit: LIMITS.pageKeysMax + 1 })]],
    ['a place that no name has', [oneName('a', { from: Buffer.alloc(LIMITS.keyBytesMax + 2) })]],
  ])('is refused with %s', (_what, reads) => {
    expect(rig.apply(command({ readValues: { reads } })).map(codeOf)[0]).toMatch(
      /INVALID_ARGUMENT|TOO_LARGE/,
    );
  });

  it('is by settings that change only where they are the ones that are expected', () => {
    const present = rig.store.audit.rules.settings;
    const settings = { reads: ['vault/**'], retentionMs: LIMITS.auditRetentionMsMin };
    for (const expected of [
      { ...present, retentionMs: present.retentionMs + 1 },
      { ...present, reads: [] },
      { ...present, reads: [...present.reads, 'x'] },
    ])
      expect(rig.apply(command({ setAuditSettings: { settings, expected } })).map(codeOf)).toEqual([
        'INVALID_ARGUMENT',
      ]);
    expect(rig.store.audit.rules.settings).toEqual(present);
    const outcomes = rig.apply(command({ setAuditSettings: { settings, expected: present } }));
    expect(outcomes.map(codeOf)).toEqual(['none']);
    expect(rig.store.audit.rules.settings).toEqual(settings);
  });

  it('is of the names that the settings say, from the next command on', async () => {
    rig.run(put('vault/x'), put('secrets/a'));
    const settings = { reads: ['vault/**', 'one'], retentionMs: 0 };
    rig.apply(
      command({ setAuditSettings: { settings } }),
      command({ readValues: { reads: [range('', '')] } }),
    );
    expect(await rig.deeds(3)).toEqual(['audit.settings ', 'kv.read vault/x']);
    await rig.reopen();
    expect(rig.store.audit.rules.settings).toEqual(settings);
    expect(
      ['vault/a', 'vault', 'one', 'secrets/a'].map((name) => rig.store.audit.rules.isAudited(name)),
    ).toEqual([true, false, true, false]);
    expect(rig.store.audit.rules.mayBeAudited({ start: 'a', end: 'p' })).toBe(true);
    expect(rig.store.audit.rules.mayBeAudited({ start: 'p', end: 'v' })).toBe(false);
    for (const reads of [
      ['a**'],
      [''],
      Array.from({ length: LIMITS.auditReadPatternsMax + 1 }, (_, i) => `p${i}`),
    ]) {
      const outcome = rig.apply(command({ setAuditSettings: { settings: { reads, retentionMs: 0 } } }));
      expect(outcome.map(codeOf)).toEqual(['INVALID_ARGUMENT']);
    }
    expect(rig.store.audit.rules.settings).toEqual(settings);
  });
});
