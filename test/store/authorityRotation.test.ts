import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Command, Member, RotationStep } from '../../src/proto/storage.ts';
import { certificateHash, rotationPhase, trustedCertificates } from '../../src/store/authorityRotation.ts';
import { CLIENT, codeOf, command, NODE, placeAt, StoreRig, sealerOf } from './storeRig.ts';

const A = '00000000000000aa';
const B = '00000000000000bb';
const OLD = { certificate: Buffer.from('old ca'), privateKey: Buffer.from('old key') };
const NEXT = { certificate: Buffer.from('next ca'), privateKey: Buffer.from('next key') };

const member = (nodeId: string): Member => ({
  nodeId,
  name: `n${nodeId.slice(-1)}`,
  peerAddress: 'h:1',
  apiAddress: 'h:2',
  wantedRole: 'voter',
});
const BOOTSTRAP = command(
  {
    bootstrap: {
      authorityCertificate: OLD.certificate,
      authorityPrivateKey: OLD.privateKey,
      member: member(A),
    },
  },
  NODE,
);
const LEADER = { kind: 'node', name: 'leader', address: '' };
const rotate = (next = NEXT): Command => command({ rotateAuthority: next });
const stepTo = (certificate: Buffer, confirmed: readonly string[]): RotationStep => ({
  certificateHash: certificateHash(certificate),
  confirmed,
});
const switchTo = (confirmed: readonly string[], certificate = NEXT.certificate): Command =>
  command({ switchAuthority: stepTo(certificate, confirmed) }, LEADER);
const finish = (confirmed: readonly string[], certificate = OLD.certificate): Command =>
  command({ finishAuthorityRotation: stepTo(certificate, confirmed) });

let rig: StoreRig;
beforeEach(async () => {
  rig = await StoreRig.create();
});
afterEach(() => rig.destroy());

/** B becomes a member, or goes. */
function configure(change: { readonly member?: Member; readonly removed?: readonly string[] }): void {
  rig.store.apply({
    kind: 'configuration',
    place: placeAt(rig.store.applied.index + 1),
    configuration: { voters: [A], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false },
    removed: change.removed ?? [],
    member: change.member ?? null,
    timeMs: rig.timeMs,
  });
}

const trusted = (): string[] => {
  const { authority } = rig.store;
  return authority === null ? [] : trustedCertificates(authority).map(String);
};
const phase = (): string => (rig.store.authority === null ? '' : rotationPhase(rig.store.authority));

describe('the change of the CA', () => {
  it('goes from the old one to both, then to the other one that signs, then to that alone', async () => {
    rig.apply(BOOTSTRAP);
    expect([phase(), trusted()]).toEqual(['none', ['old ca']]);
    const before = rig.store.authorityIndex;
    for (const [change, expected, key] of [
      [rotate(), ['announced', ['old ca', 'next ca']], 'old key'],
      [switchTo([A]), ['switched', ['next ca', 'old ca']], 'next key'],
      [finish([A]), ['none', ['next ca']], 'next key'],
    ] as const) {
      expect(rig.apply(change).map(codeOf)).toEqual(['none']);
      for (let round = 0; round < 2; round += 1) {
        expect([phase(), trusted()]).toEqual(expected);
        expect(String(rig.store.authority?.privateKey)).toBe(key);
        expect(rig.store.authorityIndex).toBe(rig.store.applied.index);
        const { digest } = rig.store;
        await rig.reopen();
        expect(rig.store.digest).toEqual(digest);
      }
    }
    expect(rig.store.authorityIndex).toBe(before + 3);
  });

  it('keeps the private key of the former one no longer than it signs', () => {
    rig.apply(BOOTSTRAP, rotate(), switchTo([A]));
    expect(rig.store.authority?.rotation?.privateKey).toHaveLength(0);
    expect(JSON.stringify(rig.store.authority)).not.toContain(JSON.stringify(OLD.privateKey));
  });

  it('takes each step only in its turn, and changes nothing else', () => {
    expect(rig.apply(rotate()).map(codeOf)).toEqual(['INVALID_ARGUMENT']);
    rig.apply(BOOTSTRAP);
    const refuses = (...commands: Command[]): void => {
      const { digest } = rig.store;
      expect(rig.apply(...commands).map(codeOf)).toEqual(commands.map(() => 'INVALID_ARGUMENT'));
      expect(rig.store.digest).toEqual(digest);
    };
    refuses(switchTo([A]), finish([A]));
    rig.apply(rotate());
    refuses(rotate({ ...NEXT, certificate: Buffer.from('third') }), finish([A], NEXT.certificate));
    refuses(switchTo([A], OLD.certificate));
    rig.apply(switchTo([A]));
    refuses(rotate(), switchTo([A]), finish([A], NEXT.certificate));
    rig.apply(finish([A]));
    refuses(finish([A]), switchTo([A]));
  });

  it('is held up by every member that has not confirmed, by name, until that has or is gone', () => {
    rig.apply(BOOTSTRAP, rotate());
    configure({ member: member(B) });
    const [refused] = rig.apply(switchTo([A]));
    expect(refused?.failure).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'confirmed' });
    expect(refused?.failure?.message).toMatch(/: nb$/);
    expect(rig.apply(switchTo([A, B])).map(codeOf)).toEqual(['none']);
    expect(rig.apply(finish([B])).map(codeOf)).toEqual(['INVALID_ARGUMENT']);
    expect(rig.apply(finish([A])).map(codeOf)).toEqual(['INVALID_ARGUMENT']);
    configure({ removed: [B] });
    expect(rig.apply(finish([A])).map(codeOf)).toEqual(['none']);
  });

  it('may be asked for by clients only, and the switch by nodes too', () => {
    rig.apply(BOOTSTRAP);
    const asNode = (body: Command): Command => ({ ...body, principal: LEADER });
    expect(rig.apply(asNode(rotate())).map(codeOf)).toEqual(['PERMISSION_DENIED']);
    rig.apply(rotate(), switchTo([A]));
    expect(rig.apply(asNode(finish([A]))).map(codeOf)).toEqual(['PERMISSION_DENIED']);
  });

  it.each([
    [{ rotateAuthority: { ...NEXT, certificate: Buffer.alloc(0) } }, 'certificate'],
    [{ rotateAuthority: { ...NEXT, privateKey: Buffer.alloc(0) } }, 'private_key'],
    [{ rotateAuthority: { ...NEXT, certificate: Buffer.alloc(20_000) } }, 'authority'],
    [{ switchAuthority: { certificateHash: Buffer.alloc(31), confirmed: [] } }, 'certificate_hash'],
    [{ switchAuthority: stepTo(OLD.certificate, ['x']) }, 'confirmed'],
    [{ finishAuthorityRotation: stepTo(OLD.certificate, Array<string>(17).fill(A)) }, 'confirmed'],
  ])('refuses what no step looks like (%#)', (body, field) => {
    rig.apply(BOOTSTRAP);
    expect(rig.apply(command(body, CLIENT))[0]?.failure?.field).toBe(field);
  });

  it('gives the same digests whatever is on disk in between', async () => {
    const steps = [
      BOOTSTRAP,
      rotate(),
      switchTo([A]),
      finish([A]),
      rotate(OLD),
      switchTo([A], OLD.certificate),
    ];
    const digests = async (between: (of: StoreRig) => Promise<void>): Promise<string[]> => {
      const of = await StoreRig.create({ sealer: sealerOf('on', 3) });
      try {
        const found: string[] = [];
        for (const step of steps) {
          of.apply(step);
          found.push(of.store.digest.toString('hex'));
          await between(of);
        }
        return found;
      } finally {
        await of.destroy();
      }
    };
    const atOnce = await digests(() => Promise.resolve());
    expect(new Set(atOnce).size).toBe(steps.length);
    expect(await digests((of) => of.store.flushed())).toEqual(atOnce);
    expect(await digests((of) => of.reopen())).toEqual(atOnce);
  });
});
