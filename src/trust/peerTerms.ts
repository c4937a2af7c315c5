import { HoldfastError } from '../base/errors.ts';
import { parseClusterId, parseStoreId } from '../base/ids.ts';
import type { ControlKey } from '../envelope/controlKey.ts';
import { type Fingerprint, isFingerprint } from '../envelope/fingerprint.ts';
import { ENCRYPTION_TOGGLES } from '../envelope/keyring.ts';
import type { PeerStatement } from '../proto/peer.ts';
import { checkFingerprints } from './checkFingerprints.ts';
import { PROCESS_BYTES } from './processesOfNode.ts';
import { PROOF_NONCE_BYTES } from './proof.ts';

/** The version of the messages by which members prove themselves to each other. */
export const PEER_FORMAT = 1;

/** What a member says of itself, but for the nonce. */
export type PeerTerms = Omit<PeerStatement, 'nonce'>;

/**
 * The control key that both have to prove: the one in force where the keyring is newer. Who has the older keyring is
 * behind, not different; once connected it is sent the log. Both sides come to the same.
 * @throws HoldfastError CLUSTER_MISMATCH, VERSION_UNSUPPORTED, CONTROL_KEY_MISMATCH, ENCRYPTION_MISMATCH,
 *   JWT_SECRET_MISMATCH, each with both values
 */
export function controlKeyToProve(own: PeerTerms, their: PeerTerms): Fingerprint {
  for (const { code, field, what, of, hint } of ALWAYS_EQUAL)
    if (of(own) !== of(their)) throw mismatch({ code, field, what, hint, own: of(own), their: of(their) });
  if (own.keyringGeneration === their.keyringGeneration) {
    for (const { code, field, what, of, hint } of EQUAL_AT_ONE_GENERATION)
      if (of(own) !== of(their)) throw mismatch({ code, field, what, hint, own: of(own), their: of(their) });
  }
  const [newer, older] = own.keyringGeneration >= their.keyringGeneration ? [own, their] : [their, own];
  for (const { of, held, ...compared } of HELD) {
    if (held(older).includes(of(newer))) continue;
    const shown = (terms: PeerTerms): string => (terms === newer ? of(newer) : held(older).join(', '));
    throw mismatch({ ...compared, own: shown(own), their: shown(their) });
  }
  return newer.controlKeyFingerprint as Fingerprint;
}

/**
 * Of the control keys that a member may be asked to prove, and asks for itself. A peer that claims to be ahead names the
 * one in force there: one that was replaced here already never is again, however long it lies in a key file or in the
 * environment. Who is behind may still wrap with it, and proves the one in force here.
 */
export function provableFingerprints({
  held,
  replaced,
}: {
  readonly held: readonly ControlKey[];
  readonly replaced: readonly Fingerprint[];
}): readonly Fingerprint[] {
  return held.map(({ fingerprint }) => fingerprint).filter((one) => !replaced.includes(one));
}

interface Compared {
  readonly code:
    | 'CLUSTER_MISMATCH'
    | 'VERSION_UNSUPPORTED'
    | 'CONTROL_KEY_MISMATCH'
    | 'ENCRYPTION_MISMATCH'
    | 'JWT_SECRET_MISMATCH';
  readonly field: string;
  /** Before a value, as in `cluster id x`. */
  readonly what: string;
  readonly hint: string;
}

interface ComparedValue extends Compared {
  readonly of: (terms: PeerTerms) => string;
}

/** What a member may hold several of: the one in force by the newer keyring has to be among them. */
interface HeldValue extends ComparedValue {
  readonly held: (terms: PeerTerms) => readonly string[];
}

const CONTROL_KEY: Compared = {
  code: 'CONTROL_KEY_MISMATCH',
  field: 'control_key',
  what: 'control key',
  hint: 'Give the node the control key of the cluster: its key file, or HOLDFAST_CONTROL_KEY; then start it again.',
};

const JWT_SECRET: Compared = {
  code: 'JWT_SECRET_MISMATCH',
  field: 'jwt_secret',
  what: 'JWT secret',
  hint: 'Give the node the JWT secret of the cluster: its file, or HOLDFAST_JWT_SECRET; then start it again.',
};

const HELD: readonly HeldValue[] = [
  {
    ...CONTROL_KEY,
    of: ({ controlKeyFingerprint }) => controlKeyFingerprint,
    held: ({ controlKeyFingerprints }) => controlKeyFingerprints,
  },
  {
    ...JWT_SECRET,
    of: ({ jwtSecretFingerprint }) => jwtSecretFingerprint,
    held: ({ jwtSecretFingerprints }) => jwtSecretFingerprints,
  },
];

const ANOTHER_CLUSTER = 'Data directories of two clusters were mixed: give each node its own.';

const ALWAYS_EQUAL: readonly ComparedValue[] = [
  {
    code: 'VERSION_UNSUPPORTED',
    field: 'format',
    what: 'peer format',
    of: ({ format }) => String(format),
    hint: 'Run the same release of holdfast on all nodes.',
  },
  {
    code: 'CLUSTER_MISMATCH',
    field: 'cluster_id',
    what: 'cluster id',
    of: ({ clusterId }) => clusterId,
    hint: ANOTHER_CLUSTER,
  },
  {
    code: 'CLUSTER_MISMATCH',
    field: 'store_id',
    what: 'store id',
    of: ({ storeId }) => storeId,
    hint: ANOTHER_CLUSTER,
  },
];

const EQUAL_AT_ONE_GENERATION: readonly ComparedValue[] = [
  { ...CONTROL_KEY, of: ({ controlKeyFingerprint }) => controlKeyFingerprint },
  { ...JWT_SECRET, of: ({ jwtSecretFingerprint }) => jwtSecretFingerprint },
  {
    code: 'ENCRYPTION_MISMATCH',
    field: 'encryption',
    what: 'encryption',
    of: ({ encryption }) => encryption,
    hint: 'The data directory of the node is not one of this cluster: remove the node, and let it join anew.',
  },
];

function mismatch({
  code,
  field,
  what,
  hint,
  own,
  their,
}: Compared & { own: string; their: string }): HoldfastError {
  return new HoldfastError(code, `the other node has ${what} ${their}, this node ${own}`, { field, hint });
}

/** What another node says of itself, before anything is done with it. @throws HoldfastError INVALID_ARGUMENT */
export function checkPeerStatement(statement: PeerStatement, peerId: string): void {
  const { nonce, nodeId, controlKeyFingerprint, controlKeyFingerprints, encryption } = statement;
  if (nonce.length !== PROOF_NONCE_BYTES) throw invalid('nonce', `must have ${PROOF_NONCE_BYTES} bytes`);
  if (nodeId !== peerId) throw invalid('node_id', 'is not that of the certificate');
  // They stand in what an operator reads of a node that has proved nothing.
  parseClusterId(statement.clusterId);
  parseStoreId(statement.storeId);
  if (!Number.isSafeInteger(statement.keyringGeneration))
    throw invalid('keyring_generation', 'is beyond 2^53 - 1');
  if (!Number.isSafeInteger(statement.starts) || statement.starts < 1)
    throw invalid('starts', 'must be 1 to 2^53 - 1');
  if (statement.process.length !== PROCESS_BYTES)
    throw invalid('process', `must have ${PROCESS_BYTES} bytes`);
  if (!Number.isSafeInteger(statement.term)) throw invalid('term', 'is beyond 2^53 - 1');
  checkFingerprints(controlKeyFingerprints, 'control_key_fingerprints');
  checkFingerprints(statement.jwtSecretFingerprints, 'jwt_secret_fingerprints');
  if (!isFingerprint(controlKeyFingerprint)) throw invalid('control_key_fingerprint', 'is no fingerprint');
  if (!isFingerprint(statement.jwtSecretFingerprint))
    throw invalid('jwt_secret_fingerprint', 'is no fingerprint');
  if (!ENCRYPTION_TOGGLES.some((toggle) => toggle === encryption))
    throw invalid('encryption', 'must be on or off');
}

function invalid(field: string, rule: string): HoldfastError {
  return new HoldfastError('INVALID_ARGUMENT', `${field} ${rule}`, { field });
}
