import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type ChainedRecord, NO_AUDIT_HASH, recordHash } from '../../src/audit/record/chain.ts';
import { signCheckpoint } from '../../src/audit/record/checkpoint.ts';
import { ManualClock } from '../../src/base/clock.ts';
import { newClusterId } from '../../src/base/ids.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { SeededRandom } from '../../src/base/random.ts';
import {
  type AuditCheckpoint,
  COMPARE_TARGET,
  type Principal,
  RELATION,
  type ValueRead,
} from '../../src/proto/storage.ts';
import { openLevelDatabase } from '../../src/store/database.ts';
import { Store } from '../../src/store/store.ts';
import { type Authority, createAuthority } from '../../src/trust/authority.ts';
import {
  bytes,
  CLIENT,
  codeOf,
  command,
  NODE,
  put,
  read,
  remove,
  StoreRig,
  transaction,
  write,
} from './storeRig.ts';

let rig: StoreRig;
beforeEach(async () => {
  rig = await StoreRig.create();
});
afterEach(() => rig.destroy());

async function records(sequence = 0, timeMs = 0): Promise<readonly ChainedRecord[]> {
  await rig.store.flushed();
  const found: ChainedRecord[] = [];
  for await (const portion of rig.store.auditRecords({ sequence, timeMs })) found.push(...portion);
  return found;
}

/** What the records from a sequence on say, in short. */
async function deeds(sequence = 0): Promise<readonly string[]> {
  return (await records(sequence)).map(({ action, resource, resourceEnd, result, count }) => {
    const to = resourceEnd.length === 0 ? '' : `..${Buffer.from(resourceEnd).toString('latin1')}`;
    const times = count === 1 ? '' : ` x${count}`;
    return `${action} ${Buffer.from(resource).toString('latin1')}${to}${times}${result === 'OK' ? '' : ` ${result}`}`;
  });
}

describe('what is recorded', () => {
  it('is each name that was put and each deletion that deleted something, of the branch that was taken', async () => {
    rig.run(put('a'), put('b'), put('c/1'), put('c/2'));
    rig.run(remove('none'), remove('a'), remove('c/', 'c0'), put('d'));
    const untrue = {
      key: bytes('a'),
      relation: RELATION.EQUAL,
      target: COMPARE_TARGET.VERSION,
      value: bytes(''),
      number: 7,
    };
    rig.apply(
      command({
        transaction: { compares: [untrue], success: [put('x')], failure: [put('a2'), remove('b', '')] },
      }),
    );
    expect(await deeds()).toEqual([
      'kv.put a',
      'kv.put b',
      'kv.put c/1',
      'kv.put c/2',
      'kv.delete a',
      'kv.delete c/..c0 x2',
      'kv.put d',
      'kv.put a2',
      'kv.delete b..\xff x2',
    ]);
    expect((await records()).map(({ revision }) => revision)).toEqual([1, 1, 1, 1, 2, 2, 2, 3, 3]);
  });

  it('says who asked, where, when and by which request', async () => {
    const clientId = rig.apply(command({ registerClient: {} }))[0]?.client?.clientId ?? 0;
    const request = { clientId, number: 1, floor: 1 };
    rig.timeMs += 5;
    rig.apply({ ...write([put('a')], request), origin: '00000000000000aa/0102', sequence: 9 });
    const [record] = await records();
    expect(record).toMatchObject({
      principalKind: 'client',
      principal: 'ada',
      address: '127.0.0.1:1',
      node: '00000000000000aa',
      requestId: `${clientId}.1`,
      timeMs: rig.timeMs,
      index: 2,
      sequence: 1,
    });
  });

  it('is nothing for a request that comes again, and nothing for what changes nothing', async () => {
    const clientId = rig.apply(command({ registerClient: {} }))[0]?.client?.clientId ?? 0;
    const again = write([put('secrets/a', 'x', true)], { clientId, number: 1, floor: 1 });
    rig.apply(again, again);
    rig.run(read('a'));
    rig.apply(
      command({ advanceTime: {} }),
      command({ compact: { revision: 9 } }),
      command({ closeClient: { clientId } }),
    );
    expect(await deeds()).toEqual(['kv.put secrets/a']);
  });

  it('is each secret value that was handed out, as a value, a previous one, or by a compare', async () => {
    rig.run(put('secrets/a', '1'), put('secrets/b', '2'), put('open', '3'));
    rig.run(read('', ''));
    rig.run(put('secrets/a', '4', true), put('secrets/new', '', true), put('open', '', true));
    rig.run(remove('secrets/b', 'secrets/c', true));
    const compare = {
      key: bytes('secrets/a'),
      relation: RELATION.EQUAL,
      target: COMPARE_TARGET.VALUE,
      value: bytes('4'),
      number: 0,
    };
    rig.apply(command({ transaction: { compares: [compare], success: [], failure: [read('secrets/a')] } }));
    const namesOnly = {
      range: { range: { start: bytes(''), end: bytes('') }, limit: 0, keysOnly: true, countOnly: false },
    };
    rig.run(namesOnly);
    expect(await deeds(4)).toEqual([
      'kv.reveal secrets/a',
      'kv.reveal secrets/b',
      'kv.put secrets/a',
      'kv.reveal secrets/a',
      'kv.put secrets/new',
      'kv.put open',
      'kv.delete secrets/b..secrets/c',
      'kv.reveal secrets/b',
      'kv.compare secrets/a',
    ]);
  });

  it('is what was denied, and who was not let in', async () => {
    const token = { kind: 'token', name: '00000000000000a1', address: '' };
    expect(rig.apply(command({ transaction: transaction(put('a')) }, token)).map(codeOf)).toEqual([
      'UNAUTHENTICATED',
    ]);
    rig.apply(command({ putPolicy: { policy: { role: 'own', rules: [], admin: [] } } }, token));
    const use = {
      id: 'x',
      secretHash: Buffer.alloc(32),
      nodeId: '00000000000000bb',
      csrKeyHash: Buffer.alloc(32),
    };
    rig.apply(command({ useToken: use }, { kind: 'node', name: '00000000000000aa', address: '' }));
    rig.apply(command({ deletePolicy: { role: 'none' } }));
    expect(await deeds()).toEqual([
      'kv.transaction a UNAUTHENTICATED',
      'policy.put own UNAUTHENTICATED',
      'member.join 00000000000000bb TOKEN_UNKNOWN',
    ]);
  });

  it('never holds a value', async () => {
    rig.run(put('secrets/a', 'the-value'));
    rig.run(put('secrets/a', 'another', true), read('secrets/a'));
    const said = JSON.stringify(
      (await records()).map((record) => ({ ...record, resource: String(record.resource) })),
    );
    expect(said).toContain('secrets/a');
    for (const value of ['the-value', 'another']) expect(said).not.toContain(value);
  });
});

describe('the chain of records', () => {
  it('has no gap, each hash over the one before it, and goes on after a restart', async () => {
    for (let i = 0; i < 100; i += 1) rig.run(put(`a${i}`), put(`b${i}`));
    await rig.reopen();
    rig.run(put('last'));
    const all = await records();
    expect(all.map(({ sequence }) => sequence)).toEqual(Array.from({ length: 201 }, (_, i) => i + 1));
    let previousHash = NO_AUDIT_HASH;
    for (const record of all) {
      expect(record.previousHash).toEqual(previousHash);
      expect(recordHash(record, record)).toEqual(record.hash);
      previousHash = record.hash;
    }
    expect(rig.store.audit.head).toEqual({ sequence: 201, hash: previousHash });
  });

  it('is read from a sequence or a time on', async () => {
    for (let i = 0; i < 5; i += 1) {
      rig.run(put('a'), put('b'));
      rig.timeMs += 1_000;
    }
    expect((await records(4)).map(({ sequence }) => sequence)).toEqual([4, 5, 6, 7, 8, 9, 10]);
    expect((await records(0, rig.timeMs - 2_000)).map(({ sequence }) => sequence)).toEqual([7, 8, 9, 10]);
    expect((await records(10, rig.timeMs - 4_000)).map(({ sequence }) => sequence)).toEqual([10]);
    expect([await records(11), await records(0, rig.timeMs)]).toEqual([[], []]);
  });

  it('parts the records of a large entry into rows', async () => {
    const name = 'n'.repeat(LIMITS.keyBytesMax - 8);
    const puts = (part: number) => Array.from({ length: 100 }, (_, i) => put(`${name}${part}-${i}`));
    rig.apply(...Array.from({ length: 20 }, (_, part) => write(puts(part))));
    const all = await records();
    expect(all).toHaveLength(2_000);
    expect(new Set(all.map(({ index }) => index)).size).toBe(1);
    const { digest } = rig.store;
    await rig.reopen();
    expect(rig.store.digest).toEqual(digest);
    expect(rig.store.audit.head.sequence).toBe(2_000);
  });

  it.each([
    ['the first row', 0],
    ['a row in the middle', 2],
    ['the last row', 4],
  ])('does not open without %s', async (_what, at) => {
    for (let i = 0; i < 5; i += 1) rig.run(put('a'));
    await rig.store.close();
    const path = `${rig.directory}/state/1`;
    const database = await openLevelDatabase({ path, create: false });
    const snapshot = database.snapshot();
    const keys: Buffer[] = [];
    for await (const portion of snapshot.rows('l')) keys.push(...portion.map(({ key }) => key));
    await snapshot.close();
    const batch = database.batch();
    batch.del(keys[at] as Buffer);
    await batch.write();
    await database.close();
    await expect(Store.open(rig.options())).rejects.toMatchObject({ code: 'STATE_CORRUPT' });
    // For afterEach.
    rig = await StoreRig.create();
  });

  it('is the same wherever the same was applied', async () => {
    const other = await StoreRig.create({ sealer: rig.sealer });
    for (const of of [rig, other]) {
      of.apply(command({ transaction: transaction(put('a'), put('secrets/b', 'x', true)) }, CLIENT));
      of.run(remove('a'), read('secrets/b'));
    }
    expect(other.store.audit.head).toEqual(rig.store.audit.head);
    expect(other.store.audit.head.sequence).toBe(4);
    await other.destroy();
  });
});

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
    expect(await deeds(6)).toEqual([
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
    expect(await deeds(before + 1)).toEqual([
      'kv.reveal secrets/a',
      'kv.reveal secrets/b PERMISSION_DENIED',
      'kv.reveal secrets/a',
    ]);
  });

  it('is refused of a revision that is not there, and records nothing', async () => {
    rig.run(put('secrets/a'));
    expect(ask([oneName('secrets/a', { revision: 9 })])).toEqual(['FUTURE_REVISION']);
    expect(await deeds(2)).toEqual([]);
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

  it('is of the names that the settings say, from the next command on', async () => {
    rig.run(put('vault/x'), put('secrets/a'));
    const settings = { reads: ['vault/**', 'one'], retentionMs: 0 };
    rig.apply(
      command({ setAuditSettings: { settings } }),
      command({ readValues: { reads: [range('', '')] } }),
    );
    expect(await deeds(3)).toEqual(['audit.settings ', 'kv.read vault/x']);
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

describe('what a node notes', () => {
  const record = {
    principalKind: '',
    principal: 'mallory',
    session: '',
    address: '10.0.0.1:9',
    node: 'made up',
    action: 'kv.read',
    resource: bytes('a'),
    resourceEnd: bytes(''),
    result: 'PERMISSION_DENIED',
    requestId: '',
    revision: 0,
    count: 7,
    detail: '',
  };

  it('is recorded as its own, and only a node may do so', async () => {
    rig.apply({ ...command({ noteAudit: { records: [record] } }, NODE), origin: '00000000000000aa/01' });
    expect(rig.apply(command({ noteAudit: { records: [record] } })).map(codeOf)).toEqual([
      'PERMISSION_DENIED',
    ]);
    const [first] = await records();
    expect(first).toMatchObject({ ...record, node: '00000000000000aa' });
    expect(await deeds(2)).toEqual(['access.denied  PERMISSION_DENIED']);
  });

  it.each([
    ['no record', []],
    ['too many', Array.from({ length: LIMITS.auditNotesMax + 1 }, () => record)],
    ['an action of its own', [{ ...record, action: 'x' }]],
    ['a long text', [{ ...record, detail: 'x'.repeat(LIMITS.auditTextBytesMax + 1) }]],
    ['a long name', [{ ...record, resource: Buffer.alloc(LIMITS.keyBytesMax + 2) }]],
    ['no count', [{ ...record, count: 0 }]],
  ])('is refused with %s', (_what, noted) => {
    expect(rig.apply(command({ noteAudit: { records: noted } }, NODE)).map(codeOf)[0]).toMatch(
      /INVALID_ARGUMENT|TOO_LARGE/,
    );
  });
});

describe('a checkpoint', () => {
  const DAY_MS = 86_400_000;
  let authority: Authority;
  beforeEach(async () => {
    authority = await createAuthority({
      clusterId: newClusterId(new SeededRandom(3)),
      clock: new ManualClock(),
      random: new SeededRandom(3),
    });
    const member = {
      nodeId: '00000000000000aa',
      name: 'n1',
      peerAddress: 'h:1',
      apiAddress: 'h:2',
      wantedRole: 'voter',
    };
    const bootstrap = {
      authorityCertificate: authority.certificate,
      authorityPrivateKey: authority.privateKey,
      member,
    };
    rig.apply(command({ bootstrap }, NODE));
    for (let day = 0; day < 5; day += 1) {
      rig.timeMs += DAY_MS;
      rig.run(put('a'), put('b'));
    }
    rig.apply(command({ setAuditSettings: { settings: { reads: [], retentionMs: 2 * DAY_MS } } }));
  });
  const checkpointOf = async (
    sequence: number,
    given: Partial<AuditCheckpoint> = {},
  ): Promise<AuditCheckpoint> => {
    const { hash, timeMs } = (await records(sequence))[0] ?? { hash: Buffer.alloc(32), timeMs: 0 };
    const unsigned = { sequence, hash, timeMs, ...given };
    return { signature: signCheckpoint(unsigned, authority.privateKey), ...unsigned };
  };
  const prune = (checkpoint: AuditCheckpoint) =>
    rig.apply(command({ checkpointAudit: { checkpoint } }, NODE)).map(codeOf);

  it('takes away what is older than it is to be kept, and the chain still verifies', async () => {
    expect(prune(await checkpointOf(5))).toEqual(['none']);
    const left = await records();
    expect(left[0]?.sequence).toBe(6);
    const { digest } = rig.store;
    await rig.reopen();
    expect([rig.store.digest, rig.store.audit.rules.checkpoint?.sequence]).toEqual([digest, 5]);
    expect(left[0]?.previousHash).toEqual(Buffer.from(rig.store.audit.rules.checkpoint?.hash ?? ''));
    expect((await deeds(6)).at(-1)).toBe('audit.checkpoint 5');
    expect(await records(2)).toEqual(await records());
  });

  it.each<[string, number, (of: AuditCheckpoint) => Partial<AuditCheckpoint>]>([
    ['in the middle of a row', 4, () => ({})],
    ['of what is still to be kept', 9, () => ({})],
    ['of the newest row', 12, () => ({})],
    ['with another hash', 5, () => ({ hash: Buffer.alloc(32, 1) })],
    ['with another time', 5, ({ timeMs }) => ({ timeMs: timeMs - 1 })],
    ['with another sequence', 5, () => ({ sequence: 3 })],
    ['with another signature', 5, ({ signature }) => ({ signature: Buffer.from(signature).reverse() })],
    ['with no signature', 5, () => ({ signature: Buffer.alloc(0) })],
  ])('is refused %s', async (_what, sequence, change) => {
    const good = await checkpointOf(sequence);
    expect(prune({ ...good, ...change(good) })).toEqual(['INVALID_ARGUMENT']);
    expect((await records())[0]?.sequence).toBe(1);
  });

  it('is refused when all is kept for ever, and from others than nodes', async () => {
    const checkpoint = await checkpointOf(5);
    expect(rig.apply(command({ checkpointAudit: { checkpoint } })).map(codeOf)).toEqual([
      'PERMISSION_DENIED',
    ]);
    rig.apply(command({ setAuditSettings: { settings: { reads: [], retentionMs: 0 } } }));
    expect(prune(checkpoint)).toEqual(['INVALID_ARGUMENT']);
  });
});
