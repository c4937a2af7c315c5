import { hostOf } from '../base/address.ts';
import { LIMITS } from '../base/limits.ts';
import type { Store } from '../store/store.ts';
import type { Submit } from './submit.ts';

export interface TokenUsesParts {
  readonly nodeId: string;
  readonly store: Pick<Store, 'access'>;
  readonly submit: Pick<Submit, 'submit'>;
  /** What log time is by now; leaves no trace, since every request asks. */
  readonly nowMs: () => number;
}

/**
 * That access tokens are used, and from where, on its way to what is kept of them: not each use, but each new address, and one use
 * in LIMITS.tokenUseNotedMs.
 */
export class TokenUses {
  readonly #parts: TokenUsesParts;
  /** By token and host: where it was used. */
  readonly #waiting = new Map<string, { readonly id: string; readonly address: string }>();
  #isSending = false;

  constructor(parts: TokenUsesParts) {
    this.#parts = parts;
  }

  /** @param address host:port */
  note(id: string, address: string): void {
    const { store, nowMs } = this.#parts;
    const token = store.access.token(id);
    const host = hostOf(address);
    if (token === null) return;
    const isKnown = token.addresses.includes(host);
    if (isKnown && nowMs() < token.lastUsedMs + LIMITS.tokenUseNotedMs) return;
    const key = `${id} ${host}`;
    if (this.#waiting.has(key) || this.#waiting.size >= LIMITS.tokenUsesWaitingMax) return;
    this.#waiting.set(key, { id, address });
  }

  /** Called about once a second. What cannot be kept now stays. */
  async flush(deadlineMs: number): Promise<void> {
    if (this.#isSending || this.#waiting.size === 0) return;
    this.#isSending = true;
    const { submit, nodeId } = this.#parts;
    const principal = { kind: 'node', name: nodeId, address: '' };
    const uses = [...this.#waiting].slice(0, LIMITS.tokenUsesAtOnceMax);
    const sent = uses.map(async ([key, noteTokenUse]) => {
      await submit.submit({ principal, noteTokenUse }, deadlineMs);
      this.#waiting.delete(key);
    });
    await Promise.allSettled(sent);
    this.#isSending = false;
  }
}
