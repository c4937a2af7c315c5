import type { Caller } from '../api/ports.ts';
import { present } from '../base/assert.ts';
import { errorOfFields, HoldfastError, toHoldfastError } from '../base/errors.ts';
import type { Revision } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import { type Scheduler, systemScheduler } from '../base/scheduler.ts';
import { isOneKey, keyFromBytes } from '../command/keys.ts';
import type { ValueRead, ValueReadOutcome } from '../proto/audit.ts';
import type { Principal } from '../proto/storage.ts';
import { outcomeFailure } from './outcome.ts';
import type { Submit } from './submit.ts';

/** What may be delivered, now that it is recorded: of the names that are audited only these, as they are at this revision. */
export interface Deliverable {
  readonly revision: Revision;
  /** Latin-1. */
  readonly names: ReadonlySet<string>;
  /** Latin-1: from this name on nothing may be delivered by this read, audited or not; null: there is no such name. */
  readonly until: string | null;
}

interface Waiting {
  readonly read: ValueRead;
  readonly resolve: (deliverable: Deliverable) => void;
  readonly reject: (error: HoldfastError) => void;
}

/** Reads of one asker that travel as one command. */
interface Batch {
  readonly name: string;
  readonly principal: Principal;
  readonly waiting: Waiting[];
  deadlineMs: number;
}

/**
 * Reads of audited values: each is a command, whose record is committed before anything is delivered (I55). That is their read
 * barrier as well. What one asker wants to read in one turn of the event loop travels together.
 */
export class AuditedReads {
  readonly #submit: Pick<Submit, 'submit'>;
  readonly #scheduler: Scheduler;
  readonly #batches = new Map<string, Batch>();
  #last: Batch | null = null;
  #scheduled = false;

  constructor(parts: { readonly submit: Pick<Submit, 'submit'>; readonly scheduler?: Scheduler }) {
    this.#submit = parts.submit;
    this.#scheduler = parts.scheduler ?? systemScheduler;
  }

  /**
   * @throws HoldfastError PERMISSION_DENIED, UNAUTHENTICATED, COMPACTED, FUTURE_REVISION; what submit throws, but UNAVAILABLE for
   *   OUTCOME_UNKNOWN: nothing was delivered, whether there is a record or not
   */
  allow({ principal, deadlineMs }: Caller, read: ValueRead): Promise<Deliverable> {
    return new Promise((resolve, reject) => {
      const waiting = { read, resolve, reject };
      if (!isOneKey(present(read.range, 'checked range'))) {
        void this.#send({ principal, waiting: [waiting], deadlineMs });
        return;
      }
      const batch = this.#batchOf(principal);
      batch.waiting.push(waiting);
      batch.deadlineMs = Math.max(batch.deadlineMs, deadlineMs);
      if (batch.waiting.length < LIMITS.valueReadsMax) return this.#schedule();
      this.#batches.delete(batch.name);
      if (this.#last === batch) this.#last = null;
      void this.#send(batch);
    });
  }

  /** Most often the one of the read before it: the calls of a session come together, and of one object. */
  #batchOf(principal: Principal): Batch {
    if (this.#last?.principal === principal) return this.#last;
    const name = nameOf(principal);
    const batch = this.#batches.get(name) ?? { name, principal, waiting: [], deadlineMs: 0 };
    this.#batches.set(name, batch);
    this.#last = batch;
    return batch;
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#scheduler.afterPoll(() => {
      this.#scheduled = false;
      const batches = [...this.#batches.values()];
      this.#batches.clear();
      this.#last = null;
      for (const batch of batches) void this.#send(batch);
    });
  }

  async #send({ principal, waiting, deadlineMs }: Omit<Batch, 'name'>): Promise<void> {
    try {
      const readValues = { reads: waiting.map(({ read }) => read) };
      const outcome = await this.#submit.submit({ principal, readValues }, deadlineMs);
      const failure = outcomeFailure(outcome);
      if (failure !== null) throw failure;
      const { reads } = present(outcome.read, 'outcome of reads');
      for (const [at, one] of waiting.entries()) settle(one, present(reads[at], 'outcome of a read'));
    } catch (thrown) {
      const error = notDelivered(toHoldfastError(thrown));
      for (const { reject } of waiting) reject(error);
    }
  }
}

function settle({ resolve, reject }: Waiting, { revision, names, next, failure }: ValueReadOutcome): void {
  if (failure) reject(errorOfFields(failure));
  else {
    const until = next.length === 0 ? null : keyFromBytes(next);
    resolve({ revision, names: new Set(names.map(keyFromBytes)), until });
  }
}

/** No part of it holds a line break. */
const nameOf = (principal: Principal): string => Object.values(principal).join('\n');

/** A read that may stand in the log has told nobody anything. */
function notDelivered(error: HoldfastError): HoldfastError {
  if (error.code !== 'OUTCOME_UNKNOWN') return error;
  return new HoldfastError('UNAVAILABLE', 'the read could not be recorded, so nothing is delivered', {
    hint: 'ask again',
    cause: error,
  });
}
