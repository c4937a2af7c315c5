import { describe, expect, it } from 'vitest';
import { rotationView, rotationWarning, type SaidByMember } from '../../src/node/rotationView.ts';
import type { AuthorityRow, Member } from '../../src/proto/storage.ts';
import { certificateHash } from '../../src/store/authorityRotation.ts';

const OLD = Buffer.from('old');
const NEXT = Buffer.from('next');
const KEY = Buffer.from('key');
const NONE: AuthorityRow = { certificate: OLD, privateKey: KEY };
const ANNOUNCED: AuthorityRow = { ...NONE, rotation: { certificate: NEXT, privateKey: KEY } };
const SWITCHED: AuthorityRow = {
  certificate: NEXT,
  privateKey: KEY,
  rotation: { certificate: OLD, privateKey: Buffer.alloc(0) },
};

const hex = (certificate: Buffer): string => certificateHash(certificate).toString('hex');
const member = (nodeId: string): Member => ({
  nodeId,
  name: `n${nodeId}`,
  peerAddress: '',
  apiAddress: '',
  wantedRole: 'voter',
});
const MEMBERS = [member('3'), member('1'), member('2')];
const says = (own: Buffer | null, ...trusted: Buffer[]): SaidByMember => ({
  trusted: new Set(trusted.map(hex)),
  own: own === null ? '' : hex(own),
});
const view = (authority: AuthorityRow, said: Record<string, SaidByMember>) =>
  rotationView(authority, { members: MEMBERS, said: new Map(Object.entries(said)) });

describe('how far the change of the CA is', () => {
  it('is nothing while there is none, whatever members say', () => {
    const none = view(NONE, { 1: says(NEXT, NEXT) });
    expect(none).toMatchObject({ phase: 'none', signing: hex(OLD), other: null, missing: [] });
    expect(rotationWarning(none)).toBeNull();
  });

  it('waits for all to trust the next one: who has said nothing does not', () => {
    const waiting = view(ANNOUNCED, { 1: says(OLD, OLD, NEXT), 2: says(OLD, OLD) });
    expect(waiting).toMatchObject({
      phase: 'announced',
      signing: hex(OLD),
      other: hex(NEXT),
      confirmed: ['1'],
    });
    expect(waiting.missing.map(({ name }) => name)).toEqual(['n2', 'n3']);
    expect(rotationWarning(waiting)).toMatch(/is trusted by n2, n3$/);
    const both = says(OLD, OLD, NEXT);
    const all = view(ANNOUNCED, { 1: both, 2: both, 3: both });
    expect([all.confirmed.toSorted(), all.missing]).toEqual([['1', '2', '3'], []]);
    expect(rotationWarning(all)).toBeNull();
  });

  it('then waits for all to show a certificate of it: to trust it is not enough', () => {
    const renewed = says(NEXT, NEXT, OLD);
    const waiting = view(SWITCHED, { 1: renewed, 2: says(OLD, NEXT, OLD), 3: says(null) });
    expect(waiting).toMatchObject({
      phase: 'switched',
      signing: hex(NEXT),
      other: hex(OLD),
      confirmed: ['1'],
    });
    expect(rotationWarning(waiting)).toMatch(/is renewed by n2, n3$/);
    const all = view(SWITCHED, { 1: renewed, 2: renewed, 3: renewed });
    expect(all.missing).toEqual([]);
    expect(rotationWarning(all)).toMatch(/--finish/);
  });

  it('does not count what somebody has said who is no member', () => {
    const both = says(OLD, OLD, NEXT);
    expect(view(ANNOUNCED, { 1: both, 2: both, 9: both }).confirmed).toEqual(['1', '2']);
  });
});
