import type { HoldfastError } from '../base/errors.ts';
import type { NodeId } from '../base/ids.ts';

/** Everything about who is let in, and who is not. */
export type TrustEvent =
  /** `hosts`: those that its certificate is for. */
  | {
      readonly kind: 'joined';
      readonly nodeId: NodeId;
      readonly tokenId: string;
      readonly role: string;
      readonly hosts: readonly string[];
    }
  /** By whom is not known: nothing was proved. */
  | { readonly kind: 'joinRefused'; readonly error: HoldfastError }
  /** A member with a valid certificate has shown something else than members hold, or another reason than before. */
  | { readonly kind: 'fenced'; readonly nodeId: NodeId; readonly error: HoldfastError }
  | { readonly kind: 'unfenced'; readonly nodeId: NodeId }
  /** `certificate`: DER, the new one. */
  | { readonly kind: 'renewed'; readonly nodeId: NodeId; readonly certificate: Uint8Array };

/** Takes each event once. Must not throw. */
export type RecordTrustEvent = (event: TrustEvent) => void;
