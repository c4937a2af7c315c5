import { hash } from 'node:crypto';
import { unreachable } from '../base/assert.ts';
import { HoldfastError } from '../base/errors.ts';
import type { CommandBody } from '../command/body.ts';
import type { AuthorityRow, Member, RotationStep } from '../proto/storage.ts';

/** The commands that change the cluster's CA, in their order. */
export type AuthorityStep = Extract<
  CommandBody,
  { readonly kind: 'rotateAuthority' | 'switchAuthority' | 'finishAuthorityRotation' }
>;

/** `announced`: the next CA is trusted and signs nothing yet. `switched`: it signs, and the former one is trusted still. */
export type RotationPhase = 'none' | 'announced' | 'switched';

const NOTHING = Buffer.alloc(0);

export function rotationPhase({ rotation }: AuthorityRow): RotationPhase {
  if (!rotation) return 'none';
  return rotation.privateKey.length > 0 ? 'announced' : 'switched';
}

/** The certificates (DER) of all CAs that are trusted now, first the one that signs. */
export function trustedCertificates({ certificate, rotation }: AuthorityRow): readonly Uint8Array[] {
  return rotation ? [certificate, rotation.certificate] : [certificate];
}

/** SHA-256 of a CA's certificate: by what members and commands name it. */
export function certificateHash(certificate: Uint8Array): Buffer {
  return hash('sha256', certificate, 'buffer');
}

/**
 * The authority after a step. Pure, and the same on every node: members are those at the place of the command.
 * @throws HoldfastError INVALID_ARGUMENT when it is not the turn of the step, or a member has not confirmed
 */
export function afterStep(
  before: AuthorityRow,
  step: AuthorityStep,
  members: readonly Member[],
): AuthorityRow {
  const { certificate, privateKey, rotation } = before;
  switch (step.kind) {
    case 'rotateAuthority':
      requirePhase(before, 'none');
      return { certificate, privateKey, rotation: step.next };
    case 'switchAuthority':
      requirePhase(before, 'announced');
      requireConfirmed(rotation, step.step, members);
      // The former private key goes: what it would sign from now on nobody has asked for.
      return {
        certificate: rotation?.certificate ?? NOTHING,
        privateKey: rotation?.privateKey ?? NOTHING,
        rotation: { certificate, privateKey: NOTHING },
      };
    case 'finishAuthorityRotation':
      requirePhase(before, 'switched');
      requireConfirmed(rotation, step.step, members);
      return { certificate, privateKey };
    default:
      return unreachable(step, 'authority step');
  }
}

function requirePhase(before: AuthorityRow, wanted: RotationPhase): void {
  const phase = rotationPhase(before);
  if (phase === wanted) return;
  throw new HoldfastError('INVALID_ARGUMENT', WRONG_TURN[phase], {
    field: 'authority',
    hint: 'See holdfast cluster rotate-ca --status.',
  });
}

const WRONG_TURN: Readonly<Record<RotationPhase, string>> = {
  none: 'no change of the CA is under way',
  announced: 'a change of the CA is under way: the next one is not trusted by all members yet',
  switched: 'a change of the CA is under way: the next one signs, and the former one is trusted still',
};

function requireConfirmed(
  other: AuthorityRow['rotation'],
  { certificateHash: named, confirmed }: RotationStep,
  members: readonly Member[],
): void {
  if (!other || !certificateHash(other.certificate).equals(named)) {
    throw new HoldfastError('INVALID_ARGUMENT', 'certificate_hash is of another CA', {
      field: 'certificate_hash',
    });
  }
  const missing = members.filter(({ nodeId }) => !confirmed.includes(nodeId)).map(({ name }) => name);
  if (missing.length === 0) return;
  throw new HoldfastError(
    'INVALID_ARGUMENT',
    `not every member has confirmed it: ${missing.toSorted().join(', ')}`,
    {
      field: 'confirmed',
      hint: 'Bring these members up, or remove them from the cluster.',
    },
  );
}
