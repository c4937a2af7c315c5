import { timingSafeEqual } from 'node:crypto';
import { assert, present } from '../base/assert.ts';
import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import {
  type AnswersRow,
  answersRowCodec,
  clientRowCodec,
  type Outcome,
  type Principal,
  type RequestId,
  type StoredAnswer,
} from '../proto/storage.ts';
import { storedForm } from './outcomes.ts';
import { plaintextOf, type Row } from './row.ts';
import type { RowChanges } from './rowChanges.ts';

/** The answers row of one entry. Goes when none of its answers can be asked for any more. */
interface AnswersOfEntry {
  row: Row | null;
  live: number;
}

interface KeptAnswer {
  readonly bodyHash: Uint8Array;
  readonly outcome: Outcome;
  readonly entry: AnswersOfEntry;
}

/** About the memory that a kept answer takes; the same on every node, since it decides what is refused. */
const ANSWER_BYTES = 400;
const ANSWER_OPERATION_BYTES = 200;

function keptBytes({ transaction }: Outcome): number {
  return ANSWER_BYTES + ANSWER_OPERATION_BYTES * (transaction?.operations.length ?? 0);
}

interface Client {
  readonly row: Row;
  readonly principal: Principal;
  /** Log time of its last new request; a repeated one does not count, since it leaves no trace on disk. */
  usedMs: number;
  /** Numbers below are forgotten. Moved up by new requests only. */
  floor: number;
  readonly answers: Map<number, KeptAnswer>;
}

/** What to do with a command that carries a request id. */
export type RequestVerdict =
  | { readonly kind: 'apply' }
  | { readonly kind: 'replay'; readonly outcome: Outcome };

/** Commands of one entry have sub-numbers below this, so that index * this + sub is a client id of its own. */
const CLIENT_IDS_PER_ENTRY = 4_096;
assert(LIMITS.entryCommandsMax <= CLIENT_IDS_PER_ENTRY, 'every command of an entry can make a client id');

/**
 * I32: a request is applied once. A request id is a number of a registered client; the store keeps the answers
 * from the client's floor up and gives them again.
 */
export class Clients {
  readonly #changes: RowChanges;
  readonly #clients = new Map<number, Client>();
  /** How many of them each principal has. */
  readonly #counts = new Map<string, number>();
  /** Answers to the commands of the entry that is being applied. */
  #answers: StoredAnswer[] = [];
  #entry: AnswersOfEntry = { row: null, live: 0 };
  /** Of all kept answers: those of the most clients would be more than a node's memory. */
  #keptBytes = 0;
  /** No client ends before this log time. */
  #idleDueMs = Number.POSITIVE_INFINITY;

  constructor(changes: RowChanges) {
    this.#changes = changes;
  }

  get count(): number {
    return this.#clients.size;
  }

  /** Clients of whoever has this kind and name. */
  countOf(principal: Principal): number {
    return this.#counts.get(nameOf(principal)) ?? 0;
  }

  /** The next log time at which a client may end for want of use, or null. */
  get dueMs(): number | null {
    return this.#idleDueMs === Number.POSITIVE_INFINITY ? null : this.#idleDueMs;
  }

  /** @throws HoldfastError OVERLOADED */
  register(options: { index: number; sub: number; principal: Principal; timeMs: number }): number {
    const { index, sub, timeMs } = options;
    if (this.#clients.size >= LIMITS.clientsMax) {
      throw new HoldfastError('OVERLOADED', `${LIMITS.clientsMax} clients are registered already`, {
        hint: 'Close clients that are not needed; idle ones end after ten minutes.',
      });
    }
    if (this.countOf(options.principal) >= LIMITS.clientsPerPrincipalMax) {
      throw new HoldfastError(
        'OVERLOADED',
        `${LIMITS.clientsPerPrincipalMax} clients of this principal are registered already`,
        {
          hint: 'Close those that are not needed; idle ones end after ten minutes. Or use more than one token.',
        },
      );
    }
    const { kind, name, address } = options.principal;
    const principal = { kind, name, address };
    assert(sub < CLIENT_IDS_PER_ENTRY, 'an entry has a bounded number of commands');
    const clientId = index * CLIENT_IDS_PER_ENTRY + sub;
    assert(Number.isSafeInteger(clientId), 'client ids are safe integers');
    const plaintext = clientRowCodec.encode({ clientId, timeMs, principal });
    const row = this.#changes.create({ table: 'c', number: index, sub }, plaintext);
    this.#add(clientId, { row, principal, usedMs: timeMs, floor: 1, answers: new Map() });
    return clientId;
  }

  /** Ends a client of this principal. An unknown one, or another's, has ended already as far as the caller knows. */
  close(clientId: number, principal: Principal): void {
    const client = this.#clients.get(clientId);
    if (client !== undefined && samePrincipal(client.principal, principal)) this.#end(clientId, client);
  }

  /**
   * Whether a request is new. Changes nothing.
   * @throws HoldfastError REQUEST_FORGOTTEN, REQUEST_MISMATCH, OVERLOADED
   */
  judge(
    request: RequestId,
    asked: { readonly principal: Principal; readonly bodyHash: Uint8Array },
  ): RequestVerdict {
    const client = this.#clients.get(request.clientId);
    if (client === undefined || !samePrincipal(client.principal, asked.principal)) {
      throw forgotten(`client ${request.clientId} is not known`);
    }
    if (request.number < client.floor) {
      throw forgotten(`request ${request.number} is below ${client.floor}, where kept answers begin`);
    }
    const kept = client.answers.get(request.number);
    if (kept !== undefined) {
      if (!timingSafeEqual(kept.bodyHash, asked.bodyHash)) {
        throw new HoldfastError('REQUEST_MISMATCH', `request ${request.number} had another body before`, {
          field: 'request',
        });
      }
      return { kind: 'replay', outcome: { ...kept.outcome, replayed: true } };
    }
    if (outstanding(client, request.floor) >= LIMITS.clientAnswersOutstandingMax) {
      const most = LIMITS.clientAnswersOutstandingMax;
      throw new HoldfastError('OVERLOADED', `client ${request.clientId} has ${most} answers kept already`, {
        field: 'request.floor',
        hint: 'Raise the floor to the lowest number that has no answer yet.',
      });
    }
    if (this.#keptBytes >= LIMITS.clientAnswersBytesMax) {
      throw new HoldfastError('OVERLOADED', 'the answers kept for all clients have no more room', {
        hint: 'Close clients that are not used, and raise the floors of those that are.',
      });
    }
    return { kind: 'apply' };
  }

  /** Keeps the answer to a request that `judge` let through, and forgets what lies below its floor. */
  keep(request: RequestId, given: { bodyHash: Uint8Array; outcome: Outcome; timeMs: number }): void {
    const client = this.#clients.get(request.clientId);
    // Its own command may have closed the client.
    if (client === undefined) return;
    const { clientId, number, floor } = request;
    const answer = { clientId, number, floor, bodyHash: given.bodyHash, outcome: storedForm(given.outcome) };
    this.#answers.push(answer);
    this.#entry.live += 1;
    client.usedMs = given.timeMs;
    this.#remember(client, {
      number,
      answer: { bodyHash: given.bodyHash, outcome: answer.outcome, entry: this.#entry },
    });
    this.#raiseFloor(client, floor);
  }

  /** The entry is over: its answers become one row. */
  endEntry({ index, timeMs }: { index: number; timeMs: number }): void {
    if (this.#answers.length === 0) return;
    if (this.#entry.live > 0) {
      const plaintext = answersRowCodec.encode({ timeMs, answers: this.#answers });
      this.#entry.row = this.#changes.create({ table: 'a', number: index, sub: 0 }, plaintext);
    }
    this.#answers = [];
    this.#entry = { row: null, live: 0 };
  }

  /** Clients that were not used for LIMITS.clientIdleMs of log time end. */
  expire(timeMs: number): void {
    if (timeMs < this.#idleDueMs) return;
    this.#idleDueMs = Number.POSITIVE_INFINITY;
    for (const [clientId, client] of this.#clients) {
      const dueMs = client.usedMs + LIMITS.clientIdleMs;
      if (dueMs <= timeMs) this.#end(clientId, client);
      else this.#idleDueMs = Math.min(this.#idleDueMs, dueMs);
    }
  }

  loadClient(row: Row, encoded: Buffer): void {
    const { clientId, timeMs, principal } = clientRowCodec.decode(plaintextOf(encoded));
    const who = present(principal, 'principal of a stored client');
    this.#changes.loaded(row);
    this.#add(clientId, { row, principal: who, usedMs: timeMs, floor: 1, answers: new Map() });
  }

  /** Answers rows after all clients; `settleLoaded` after all of them. */
  loadAnswers(row: Row, encoded: Buffer): void {
    this.#changes.loaded(row);
    const entry: AnswersOfEntry = { row, live: 0 };
    const stored: AnswersRow = answersRowCodec.decode(Buffer.from(plaintextOf(encoded)));
    for (const { clientId, number, floor, bodyHash, outcome } of stored.answers) {
      const client = this.#clients.get(clientId);
      if (client === undefined) continue;
      client.usedMs = Math.max(client.usedMs, stored.timeMs);
      client.floor = Math.max(client.floor, floor);
      entry.live += 1;
      const answer = { bodyHash, outcome: present(outcome, 'stored outcome'), entry };
      this.#remember(client, { number, answer });
    }
  }

  /** A row keeps answers that were forgotten as long as others in it are kept: forget them again. */
  settleLoaded(): void {
    for (const client of this.#clients.values()) {
      for (const [number, answer] of client.answers) {
        if (number < client.floor) this.#forget(client, { number, answer });
      }
      this.#idleDueMs = Math.min(this.#idleDueMs, client.usedMs + LIMITS.clientIdleMs);
    }
  }

  #add(clientId: number, client: Client): void {
    this.#clients.set(clientId, client);
    this.#counts.set(nameOf(client.principal), this.countOf(client.principal) + 1);
    this.#idleDueMs = Math.min(this.#idleDueMs, client.usedMs + LIMITS.clientIdleMs);
  }

  #end(clientId: number, client: Client): void {
    for (const [number, answer] of client.answers) this.#forget(client, { number, answer });
    this.#changes.drop(client.row);
    this.#clients.delete(clientId);
    const left = this.countOf(client.principal) - 1;
    if (left > 0) this.#counts.set(nameOf(client.principal), left);
    else this.#counts.delete(nameOf(client.principal));
  }

  #raiseFloor(client: Client, floor: number): void {
    if (floor <= client.floor) return;
    if (floor - client.floor <= client.answers.size) {
      for (let number = client.floor; number < floor; number += 1) {
        const answer = client.answers.get(number);
        if (answer !== undefined) this.#forget(client, { number, answer });
      }
    } else {
      for (const [number, answer] of client.answers)
        if (number < floor) this.#forget(client, { number, answer });
    }
    client.floor = floor;
  }

  #remember(client: Client, { number, answer }: { number: number; answer: KeptAnswer }): void {
    client.answers.set(number, answer);
    this.#keptBytes += keptBytes(answer.outcome);
  }

  #forget(client: Client, { number, answer }: { number: number; answer: KeptAnswer }): void {
    client.answers.delete(number);
    this.#keptBytes -= keptBytes(answer.outcome);
    answer.entry.live -= 1;
    if (answer.entry.live === 0 && answer.entry.row !== null) this.#changes.drop(answer.entry.row);
  }
}

/** Answers kept once the floor is raised to this. */
function outstanding({ answers }: Client, floor: number): number {
  if (answers.size < LIMITS.clientAnswersOutstandingMax) return answers.size;
  let count = 0;
  for (const number of answers.keys()) if (number >= floor) count += 1;
  return count;
}

/** The address a principal comes from is not who it is. */
function samePrincipal(a: Principal, b: Principal): boolean {
  return a.kind === b.kind && a.name === b.name;
}

/** No kind has a space in it. */
function nameOf({ kind, name }: Principal): string {
  return `${kind} ${name}`;
}

function forgotten(message: string): HoldfastError {
  return new HoldfastError('REQUEST_FORGOTTEN', message, {
    field: 'request',
    hint: 'Whether it was applied cannot be said any more. Register a new client and read before writing again.',
  });
}
