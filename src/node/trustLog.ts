import type { Clock } from '../base/clock.ts';
import type { HoldfastError } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import { RareLines } from '../base/rareLines.ts';
import { readCertificate } from '../trust/publicKey.ts';
import type { TrustEvent } from '../trust/trustEvent.ts';
import type { Denial } from './denials.ts';

export interface TrustLogParts {
  readonly logger: Logger;
  readonly clock: Clock;
  /** What was refused, on its way to the audit; it bounds how much comes of it. */
  readonly note: (denial: Denial) => void;
}

/**
 * The one place where it is written down who was let in and who was not: one line of the node's log each, and an audit record of who
 * was not. Who was let in is recorded with the entry that it took.
 */
export class TrustLog {
  readonly #parts: TrustLogParts;
  readonly #lines: RareLines;
  #joinsRefused = 0;

  constructor(parts: TrustLogParts) {
    this.#parts = parts;
    this.#lines = new RareLines(parts.clock);
  }

  record(event: TrustEvent): void {
    const { logger } = this.#parts;
    switch (event.kind) {
      case 'joined': {
        const { nodeId, tokenId, role, hosts } = event;
        logger.info({ nodeId, tokenId, role, hosts }, 'a node has joined');
        return;
      }
      case 'joinRefused':
        this.#joinRefused(event);
        return;
      case 'fenced': {
        const { code, field, message: reason, hint } = event.error;
        this.#note('member.fenced', event);
        logger.error({ nodeId: event.nodeId, code, field, reason, hint }, 'a member is fenced');
        return;
      }
      case 'unfenced':
        logger.info({ nodeId: event.nodeId }, 'a member is not fenced any more');
        return;
      case 'renewed': {
        const { serialNumber, validTo, subjectAltName: names } = readCertificate(event.certificate);
        logger.info({ nodeId: event.nodeId, serialNumber, validTo, names }, 'a certificate was renewed');
      }
    }
  }

  /** Whoever reaches the port can be refused, without any proof: one line a minute for each kind. */
  #joinRefused({ error }: Extract<TrustEvent, { kind: 'joinRefused' }>): void {
    this.#joinsRefused += 1;
    this.#note('member.refused', { nodeId: '', error });
    if (!this.#lines.isDue(`${error.code} ${error.field ?? ''}`)) return;
    const { code, field, message: reason } = error;
    this.#parts.logger.warn({ code, field, reason, count: this.#joinsRefused }, 'a join was refused');
  }

  /** Of a node that has proved nothing its name alone is known, or not even that. */
  #note(
    action: 'member.refused' | 'member.fenced',
    { nodeId, error }: { readonly nodeId: string; readonly error: HoldfastError },
  ): void {
    const { code, field = '' } = error;
    const principal = { kind: nodeId === '' ? '' : 'node', name: nodeId, address: '' };
    const resource = Buffer.from(nodeId, 'utf8');
    // A member that is fenced has shown its certificate.
    const proved = nodeId !== '';
    this.#parts.note({ principal, proved, action, resource, code, detail: field });
  }
}
