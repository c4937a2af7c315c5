import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import { RareLines } from '../base/rareLines.ts';
import { readCertificate } from '../trust/publicKey.ts';
import type { TrustEvent } from '../trust/trustEvent.ts';

/** The one place where it is written down who was let in and who was not: one line of the log each. */
export class TrustLog {
  readonly #logger: Logger;
  readonly #lines: RareLines;
  #joinsRefused = 0;

  constructor({ logger, clock }: { readonly logger: Logger; readonly clock: Clock }) {
    this.#logger = logger;
    this.#lines = new RareLines(clock);
  }

  record(event: TrustEvent): void {
    switch (event.kind) {
      case 'joined': {
        const { nodeId, tokenId, role, hosts } = event;
        this.#logger.info({ nodeId, tokenId, role, hosts }, 'a node has joined');
        return;
      }
      case 'joinRefused':
        this.#joinRefused(event);
        return;
      case 'fenced': {
        const { code, field, message: reason, hint } = event.error;
        this.#logger.error({ nodeId: event.nodeId, code, field, reason, hint }, 'a member is fenced');
        return;
      }
      case 'unfenced':
        this.#logger.info({ nodeId: event.nodeId }, 'a member is not fenced any more');
        return;
      case 'renewed': {
        const { serialNumber, validTo, subjectAltName: names } = readCertificate(event.certificate);
        this.#logger.info(
          { nodeId: event.nodeId, serialNumber, validTo, names },
          'a certificate was renewed',
        );
      }
    }
  }

  /** Whoever reaches the port can be refused, without any proof: one line a minute for each kind. */
  #joinRefused({ error }: Extract<TrustEvent, { kind: 'joinRefused' }>): void {
    this.#joinsRefused += 1;
    if (!this.#lines.isDue(`${error.code} ${error.field ?? ''}`)) return;
    const { code, field, message: reason } = error;
    this.#logger.warn({ code, field, reason, count: this.#joinsRefused }, 'a join was refused');
  }
}
