import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { signCheckpoint } from '../../src/audit/record/checkpoint.ts';
import { isSignedByItsAuthority } from '../../src/audit/signedCheckpoint.ts';
import { ManualClock } from '../../src/base/clock.ts';
import { newClusterId } from '../../src/base/ids.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { SeededRandom } from '../../src/base/random.ts';
import type { AuditCheckpoint } from '../../src/proto/audit.ts';
import { commandBatchCodec } from '../../src/proto/storage.ts';
import { certificateHash } from '../../src/store/authorityRotation.ts';
import { type Authority, createAuthority } from '../../src/trust/authority.ts';
import { bytes, codeOf, command, NODE, put, StoreRig } from './storeRig.ts';

let rig: StoreRig;
beforeEach(async () => {
  rig = await StoreRig.create();
});
afterEach(() => rig.destroy());

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
    const [first] = await rig.auditRecords();
    expect(first).toMatchObject({ ...record, node: '00000000000000aa' });
    expect(await rig.deeds(2)).toEqual(['access.denied  PERMISSION_DENIED']);
  });

  it('is whole, though a node has left out what is empty', async () => {
    const sparse = { action: 'kv.read', result: 'PERMISSION_DENIED', count: 1 } as typeof record;
    const commands = [command({ noteAudit: { records: [sparse] } }, NODE)];
    const sent = commandBatchCodec.decode(commandBatchCodec.encode({ timeMs: rig.timeMs, commands }));
    expect(rig.apply(...sent.commands).map(codeOf)).toEqual(['none']);
    expect(await rig.auditRecords()).toMatchObject([{ action: 'kv.read', principal: '', requestId: '' }]);
    await rig.reopen();
    expect(await rig.deeds()).toEqual(['kv.read  PERMISSION_DENIED']);
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

it.each(['x', 'ü', '€', '\u{1f600}'])(
  'a long text that the state makes of %s is cut to its bytes, at a character',
  async (character) => {
    const reads = Array.from({ length: 60 }, (_, at) => `${character.repeat(30)}${at}/**`);
    rig.apply(command({ setAuditSettings: { settings: { reads, retentionMs: 0 } } }));
    const [record] = await rig.auditRecords();
    const { action, detail = '' } = record ?? {};
    expect(action).toBe('audit.settings');
    expect(Buffer.byteLength(detail)).toBeLessThanOrEqual(LIMITS.auditTextBytesMax);
    expect(Buffer.byteLength(detail)).toBeGreaterThan(LIMITS.auditTextBytesMax - 4);
    expect(`retention for ever, reads ${reads.join(' ')}`.startsWith(detail)).toBe(true);
    expect(Buffer.from(detail).toString()).toBe(detail);
  },
);

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
    rig.apply(command({ setAuditSettings: { settings: { reads: [], retentionMs: 2 * DAY_MS } } }));
    rig.timeMs += LIMITS.auditShorteningDelayMs;
    for (let day = 0; day < 5; day += 1) {
      rig.timeMs += DAY_MS;
      rig.run(put('a'), put('b'));
    }
  });
  const checkpointOf = async (
    sequence: number,
    given: Partial<AuditCheckpoint> = {},
  ): Promise<AuditCheckpoint> => {
    const { hash, timeMs } = (await rig.auditRecords(sequence))[0] ?? { hash: Buffer.alloc(32), timeMs: 0 };
    const unsigned = { sequence, hash, timeMs, ...given };
    return { signature: signCheckpoint(unsigned, authority.privateKey), ...unsigned };
  };
  const prune = (checkpoint: AuditCheckpoint) =>
    rig.apply(command({ checkpointAudit: { checkpoint } }, NODE)).map(codeOf);

  it('takes away what is older than it is to be kept, and the chain still verifies', async () => {
    expect(prune(await checkpointOf(6))).toEqual(['none']);
    const left = await rig.auditRecords();
    expect(left[0]?.sequence).toBe(7);
    const { digest } = rig.store;
    await rig.reopen();
    expect([rig.store.digest, rig.store.audit.rules.checkpoint?.sequence]).toEqual([digest, 6]);
    expect(left[0]?.previousHash).toEqual(Buffer.from(rig.store.audit.rules.checkpoint?.hash ?? ''));
    expect((await rig.deeds(7)).at(-1)).toBe('audit.checkpoint 6');
    expect(await rig.auditRecords(2)).toEqual(await rig.auditRecords());
    expect(rig.store.audit.rules.checkpoint?.certificate).toEqual(authority.certificate);
  });

  it('is still that of the CA that has signed it once another CA is the only one of the cluster', async () => {
    expect(prune(await checkpointOf(6))).toEqual(['none']);
    const next = { certificate: Buffer.from('next ca'), privateKey: Buffer.from('next key') };
    const confirmed = ['00000000000000aa'];
    const step = (certificate: Buffer) => ({ certificateHash: certificateHash(certificate), confirmed });
    for (const change of [
      command({ rotateAuthority: next }),
      command({ switchAuthority: step(next.certificate) }, NODE),
      command({ finishAuthorityRotation: step(authority.certificate) }),
    ])
      expect(rig.apply(change).map(codeOf)).toEqual(['none']);
    await rig.reopen();
    const { checkpoint } = rig.store.audit.rules;
    expect(checkpoint && [checkpoint.certificate, isSignedByItsAuthority(checkpoint)]).toEqual([
      authority.certificate,
      true,
    ]);
  });

  it.each<[string, number, (of: AuditCheckpoint) => Partial<AuditCheckpoint>]>([
    ['in the middle of a row', 5, () => ({})],
    ['of what is still to be kept', 10, () => ({})],
    ['of the newest row', 12, () => ({})],
    ['with another hash', 6, () => ({ hash: Buffer.alloc(32, 1) })],
    ['with another time', 6, ({ timeMs }) => ({ timeMs: timeMs - 1 })],
    ['with another sequence', 6, () => ({ sequence: 3 })],
    ['with another signature', 6, ({ signature }) => ({ signature: Buffer.from(signature).reverse() })],
    ['with no signature', 6, () => ({ signature: Buffer.alloc(0) })],
  ])('is refused %s', async (_what, sequence, change) => {
    const good = await checkpointOf(sequence);
    expect(prune({ ...good, ...change(good) })).toEqual(['INVALID_ARGUMENT']);
    expect((await rig.auditRecords())[0]?.sequence).toBe(1);
  });

  it('is refused when all is kept for ever, and from others than nodes', async () => {
    const checkpoint = await checkpointOf(6);
    expect(rig.apply(command({ checkpointAudit: { checkpoint } })).map(codeOf)).toEqual([
      'PERMISSION_DENIED',
    ]);
    rig.apply(command({ setAuditSettings: { settings: { reads: [], retentionMs: 0 } } }));
    expect(prune(checkpoint)).toEqual(['INVALID_ARGUMENT']);
  });
});
