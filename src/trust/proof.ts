import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { assert } from '../base/assert.ts';
import { asBuffer, lengthPrefixed } from '../base/bytes.ts';
import type { ControlKey } from '../envelope/controlKey.ts';

/** Bytes of the random number that each side puts into what it says first; a recorded proof is worth nothing later. */
export const PROOF_NONCE_BYTES = 32;
export const PROOF_BYTES = 32;

/** What a proof is for: to become a member, or to speak as one. */
export type ProofPurpose = 'join' | 'peer';

/**
 * All that two sides have said to each other in the clear, and who they are: what a proof holds for, and nothing else.
 * The caller proves first, the answerer second, over the caller's proof too: who only answers learns nothing that it
 * could show to anybody.
 */
export interface Conversation {
  readonly purpose: ProofPurpose;
  /** The bytes as they were sent, the nonce inside. */
  readonly callerSaid: Uint8Array;
  readonly answererSaid: Uint8Array;
  /** DER: the certificate shown in the TLS handshake below; of a joiner, who has none, the public key of its request. */
  readonly caller: Uint8Array;
  /** DER: the certificate shown in the TLS handshake below. */
  readonly answerer: Uint8Array;
}

const FORMAT = 'holdfast/proof/v1';

/** Subkeys of the control key; part of the wire format. Each side has its own: a proof that comes back proves nothing. */
const LABELS = {
  join: { caller: 'join/joiner', answerer: 'join/server' },
  peer: { caller: 'peer/caller', answerer: 'peer/answerer' },
} as const;

/** That the caller holds this control key. 32 bytes. */
export function callerProof(key: ControlKey, conversation: Conversation): Buffer {
  return macOf(key, LABELS[conversation.purpose].caller, transcriptOf(conversation));
}

/** What the answerer's proof holds for beyond the conversation. */
export interface Answered {
  /** The caller's. */
  readonly proof: Uint8Array;
  /** What goes with the answerer's proof, as it is sent: in a join all that the joiner is given; null between members. */
  readonly response: Uint8Array | null;
}

/** That the answerer holds it too, to a caller who has proved it, and that the response is its own. 32 bytes. */
export function answererProof(key: ControlKey, conversation: Conversation, answered: Answered): Buffer {
  const { proof, response } = answered;
  const { purpose } = conversation;
  assert(
    (response === null) === (purpose === 'peer'),
    'a join is answered with a response, and nothing else is',
  );
  const transcript = [transcriptOf(conversation), proof, ...(response === null ? [] : [response])];
  return macOf(key, LABELS[purpose].answerer, lengthPrefixed(transcript));
}

/** Compares in constant time. */
export function isProof(expected: Buffer, proof: Uint8Array): boolean {
  return proof.length === PROOF_BYTES && timingSafeEqual(expected, asBuffer(proof));
}

function transcriptOf({ purpose, callerSaid, answererSaid, caller, answerer }: Conversation): Buffer {
  const fields = [Buffer.from(FORMAT), Buffer.from(purpose), callerSaid, answererSaid, caller, answerer];
  return createHash('sha256').update(lengthPrefixed(fields)).digest();
}

function macOf(key: ControlKey, label: string, bytes: Buffer): Buffer {
  return createHmac('sha256', key.subkey(label)).update(bytes).digest();
}
