import type { NodeId } from '../base/ids.ts';

/**
 * The transcript of the join handshake, as far as it goes today: what a joiner states in its one message. The proof
 * of the control key will live in this file: joiner first, server second, each an HMAC under its own subkey of the
 * control key over everything both sides have said so far, at join and again on every peer stream.
 */
export interface JoinerStatement {
  readonly format: number;
  readonly tokenId: string;
  readonly nodeId: NodeId;
  /** SHA-256 of the SubjectPublicKeyInfo of the joiner's key. */
  readonly csrKeyHash: Uint8Array;
}

/** The version of the messages that a joiner and a cluster exchange. */
export const JOIN_FORMAT = 1;
