import type { ChainedRecord } from '../../src/audit/record/chain.ts';
import { signCheckpoint } from '../../src/audit/record/checkpoint.ts';
import { authorityFingerprint } from '../../src/base/authorityFingerprint.ts';
import { systemClock } from '../../src/base/clock.ts';
import { newClusterId } from '../../src/base/ids.ts';
import { systemRandom } from '../../src/base/random.ts';
import type { KeptCheckpoint } from '../../src/proto/audit.ts';
import { createAuthority } from '../../src/trust/authority.ts';

/** A CA that signs checkpoints. */
export interface CheckpointSigner {
  readonly certificate: Buffer;
  readonly fingerprint: string;
  /** That everything up to a record is no longer kept. */
  sign(record: Pick<ChainedRecord, 'sequence' | 'hash' | 'timeMs'>): KeptCheckpoint;
}

export async function newCheckpointSigner(): Promise<CheckpointSigner> {
  const { certificate, privateKey } = await createAuthority({
    clusterId: newClusterId(systemRandom),
    clock: systemClock,
    random: systemRandom,
  });
  return {
    certificate,
    fingerprint: authorityFingerprint(certificate),
    sign: ({ sequence, hash, timeMs }) => {
      const unsigned = { sequence, hash, timeMs };
      return { ...unsigned, signature: signCheckpoint(unsigned, privateKey), certificate };
    },
  };
}
