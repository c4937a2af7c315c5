import { HoldfastError } from '../base/errors.ts';

/** What a cluster holds, and whoever joins it must hold as well. */
export interface ClusterTerms {
  /** Of the control key in force. */
  readonly controlKeyFingerprint: string;
  readonly jwtSecretFingerprint: string;
  /** `on` or `off`. */
  readonly encryption: string;
}

export interface JoinerTerms {
  /** Of all control keys that it holds. */
  readonly controlKeyFingerprints: readonly string[];
  /** Of all JWT secrets that it holds. */
  readonly jwtSecretFingerprints: readonly string[];
  /** What it is set to; empty: whatever the cluster has. */
  readonly encryption: string;
}

/**
 * Both sides ask this, of the same values: the cluster before it says more, the joiner before it proves anything.
 * @throws HoldfastError CONTROL_KEY_MISMATCH, ENCRYPTION_MISMATCH or JWT_SECRET_MISMATCH, each with both values
 */
export function requireSameTerms(cluster: ClusterTerms, joiner: JoinerTerms): void {
  if (!joiner.controlKeyFingerprints.includes(cluster.controlKeyFingerprint))
    throw controlKeyMismatch(cluster, joiner);
  if (joiner.encryption !== '' && joiner.encryption !== cluster.encryption) {
    throw new HoldfastError(
      'ENCRYPTION_MISMATCH',
      `the cluster has encryption ${cluster.encryption}, the node is set to ${joiner.encryption}`,
      { field: 'encryption', hint: 'Leave the setting out: the cluster decides.' },
    );
  }
  if (!joiner.jwtSecretFingerprints.includes(cluster.jwtSecretFingerprint)) {
    throw new HoldfastError(
      'JWT_SECRET_MISMATCH',
      `the cluster has JWT secret ${cluster.jwtSecretFingerprint}, the node has ${joiner.jwtSecretFingerprints.join(', ')}`,
      {
        field: 'jwt_secret',
        hint: 'Give this node the JWT secret of the cluster: its file, or HOLDFAST_JWT_SECRET.',
      },
    );
  }
}

function controlKeyMismatch(cluster: ClusterTerms, joiner: JoinerTerms): HoldfastError {
  const theirs = joiner.controlKeyFingerprints.join(', ');
  return new HoldfastError(
    'CONTROL_KEY_MISMATCH',
    `the cluster has control key ${cluster.controlKeyFingerprint}, the node has ${theirs}`,
    {
      field: 'control_key',
      hint: 'Give this node the control key of the cluster: its key file, or HOLDFAST_CONTROL_KEY.',
    },
  );
}
