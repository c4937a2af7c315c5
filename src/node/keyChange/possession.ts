import { createHmac, timingSafeEqual } from 'node:crypto';
import { asBuffer, lengthPrefixed } from '../../base/bytes.ts';
import type { NodeId } from '../../base/ids.ts';
import type { OperatorKey } from '../../envelope/controlKey.ts';

const FORMAT = 'holdfast/possession/v1';
const LABEL = 'rekey/possession';
export const POSSESSION_NONCE_BYTES = 32;

/** What a member was asked. */
export interface Asked {
  readonly changeId: string;
  readonly nodeId: NodeId;
  /** POSSESSION_NONCE_BYTES random bytes of the asker's. */
  readonly nonce: Uint8Array;
}

/** That a member holds a new control key, to the one who asks now. 32 bytes. */
export function possessionProof(key: OperatorKey, { changeId, nodeId, nonce }: Asked): Buffer {
  const fields = [Buffer.from(FORMAT), Buffer.from(changeId), Buffer.from(nodeId), nonce];
  return createHmac('sha256', key.subkey(LABEL)).update(lengthPrefixed(fields)).digest();
}

/** Compares in constant time. */
export function provesPossession(key: OperatorKey, asked: Asked, proof: Uint8Array): boolean {
  const expected = possessionProof(key, asked);
  return proof.length === expected.length && timingSafeEqual(expected, asBuffer(proof));
}
