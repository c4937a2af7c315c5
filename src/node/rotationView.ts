import { unreachable } from '../base/assert.ts';
import type { AuthorityStatus } from '../proto/cluster.ts';
import type { AuthorityRow, Member } from '../proto/storage.ts';
import { certificateHash, type RotationPhase, rotationPhase } from '../store/authorityRotation.ts';

/** What a member has said of its certificates; SHA-256 of CA certificates, hex. */
export interface SaidByMember {
  readonly trusted: ReadonlySet<string>;
  /** Of the CA that has signed its own certificate; empty: it does not tell. */
  readonly own: string;
}

export interface RotationView {
  readonly phase: RotationPhase;
  /** SHA-256 of the certificate of the CA that signs, hex. */
  readonly signing: string;
  /** Of the other one that is trusted; null: there is none. */
  readonly other: string | null;
  /** Node ids of members that have done what this phase waits for. */
  readonly confirmed: readonly string[];
  /** All others, by name. */
  readonly missing: readonly Member[];
}

/** How far the change of the CA is, by what members have said. Pure. */
export function rotationView(
  authority: AuthorityRow,
  {
    members,
    said,
  }: { readonly members: readonly Member[]; readonly said: ReadonlyMap<string, SaidByMember> },
): RotationView {
  const phase = rotationPhase(authority);
  const signing = hexOf(authority.certificate);
  const other = authority.rotation ? hexOf(authority.rotation.certificate) : null;
  const hasConfirmed = ({ nodeId }: Member): boolean => {
    const member = said.get(nodeId);
    if (member === undefined) return phase === 'none';
    if (phase === 'announced') return other !== null && member.trusted.has(other);
    return phase === 'none' || member.own === signing;
  };
  const confirmed = members.filter(hasConfirmed).map(({ nodeId }) => nodeId);
  const missing = members.filter((member) => !hasConfirmed(member));
  return {
    phase,
    signing,
    other,
    confirmed,
    missing: missing.toSorted((left, right) => left.name.localeCompare(right.name, 'en')),
  };
}

/** For status of the node that knows: what the change waits for, in one sentence; null when there is none. */
export function rotationWarning({ phase, missing }: RotationView): string | null {
  const names = missing.map(({ name }) => name).join(', ');
  switch (phase) {
    case 'none':
      return null;
    case 'announced':
      return names === '' ? null : `the change of the CA waits until the next one is trusted by ${names}`;
    case 'switched':
      return names === ''
        ? 'the change of the CA is not finished: holdfast cluster rotate-ca --finish --yes, once every client has both CAs and a certificate of the new one'
        : `the change of the CA waits until its certificate is renewed by ${names}`;
    default:
      return unreachable(phase, 'phase of the change of the CA');
  }
}

/** The same, as clients are told. */
export function authorityStatus({ phase, signing, other, missing }: RotationView): AuthorityStatus {
  return {
    phase,
    signing: `sha256:${signing}`,
    other: other === null ? '' : `sha256:${other}`,
    missing: missing.map(({ nodeId, name }) => ({ nodeId, name })),
    readyToFinish: phase === 'switched' && missing.length === 0,
  };
}

function hexOf(certificate: Uint8Array): string {
  return certificateHash(certificate).toString('hex');
}
