import type { NodeId } from '../../base/ids.ts';
import { LIMITS } from '../../base/limits.ts';
import type { Forward, PeerFrame } from '../../proto/peer.ts';
import type { Message } from '../raft/types.ts';
import { encodeMessage, messageBytes } from './messageCodec.ts';

export interface PeerQueueBounds {
  readonly messagesMax: number;
  readonly bytesMax: number;
  /** A frame takes what waits up to here, and always one item. */
  readonly frameBytesMax: number;
}

const DEFAULT_BOUNDS: PeerQueueBounds = {
  messagesMax: LIMITS.peerQueueMessagesMax,
  bytesMax: LIMITS.peerQueueBytesMax,
  frameBytesMax: LIMITS.peerFrameBytesMax,
};

/**
 * What waits to be sent on one channel. Raft messages may be lost: a full queue drops its oldest ones, which are the
 * least likely to matter still. A forward is refused instead, since its sender can then say so to its callers.
 */
export class PeerQueue {
  readonly #bounds: PeerQueueBounds;
  #messages: Message[] = [];
  #messageBytes = 0;
  #forwards: Forward[] = [];
  #forwardBytes = 0;
  #dropped = 0;

  constructor(bounds: PeerQueueBounds = DEFAULT_BOUNDS) {
    this.#bounds = bounds;
  }

  get empty(): boolean {
    return this.#messages.length === 0 && this.#forwards.length === 0;
  }

  get bytes(): number {
    return this.#messageBytes + this.#forwardBytes;
  }

  get length(): number {
    return this.#messages.length + this.#forwards.length;
  }

  /** How many messages a full queue has cost so far. */
  get dropped(): number {
    return this.#dropped;
  }

  push(message: Message): void {
    this.#messages.push(message);
    this.#messageBytes += messageBytes(message);
    while (
      this.#messages.length > 1 &&
      (this.#messages.length > this.#bounds.messagesMax || this.#messageBytes > this.#bounds.bytesMax)
    ) {
      this.#takeMessage();
      this.#dropped += 1;
    }
  }

  /** False: full. */
  pushForward(forward: Forward): boolean {
    const bytes = this.#forwardBytes + forwardBytes(forward);
    if (this.#forwards.length >= this.#bounds.messagesMax) return false;
    if (this.#forwards.length > 0 && bytes > this.#bounds.bytesMax) return false;
    this.#forwards.push(forward);
    this.#forwardBytes = bytes;
    return true;
  }

  /** What a broken connection leaves behind is stale. */
  clear(): void {
    this.#messages = [];
    this.#messageBytes = 0;
    this.#forwards = [];
    this.#forwardBytes = 0;
  }

  /** The next frame's content: as much of what waits as fits. Null when nothing waits. */
  takeFrame(wallMs: number, address = ''): PeerFrame | null {
    if (this.empty) return null;
    const messages = [];
    const forwards = [];
    let bytes = 0;
    for (let next = this.#messages[0]; next !== undefined; next = this.#messages[0]) {
      bytes += messageBytes(next);
      if (messages.length > 0 && bytes > this.#bounds.frameBytesMax) break;
      messages.push(encodeMessage(next));
      this.#takeMessage();
    }
    for (let next = this.#forwards[0]; next !== undefined; next = this.#forwards[0]) {
      bytes += forwardBytes(next);
      if (messages.length + forwards.length > 0 && bytes > this.#bounds.frameBytesMax) break;
      forwards.push(next);
      this.#forwards.shift();
      this.#forwardBytes -= forwardBytes(next);
    }
    return { messages, wallMs, forwards, address };
  }

  #takeMessage(): void {
    const oldest = this.#messages.shift();
    if (oldest !== undefined) this.#messageBytes -= messageBytes(oldest);
  }
}

function forwardBytes(forward: Forward): number {
  return forward.envelope.length + 64;
}

/** A forward as it travels from `nodeId`. */
export function outgoingForward(
  nodeId: NodeId,
  forward: { readonly sequence: number; readonly envelope: Uint8Array; readonly refused: boolean },
): Forward {
  return { nodeId, ...forward };
}
