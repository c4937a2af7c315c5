import { type Asker, decide } from '../access/policy/decide.ts';
import { requireAllowed } from '../access/policy/decision.ts';
import type { Rights } from '../access/policy/rights.ts';
import { assert, present, unreachable } from '../base/assert.ts';
import { LIMITS } from '../base/limits.ts';
import { type CommandBody, commandBody } from '../command/body.ts';
import { bodyHash } from '../command/bodyHash.ts';
import { checkBody, checkPrincipal, checkRequestId } from '../command/checkCommand.ts';
import type { AuditRecord, ValueRead } from '../proto/audit.ts';
import type { Command, HeadRow, Outcome, Principal, RequestId, UseToken } from '../proto/storage.ts';
import type { NoteTokenUse } from '../proto/users.ts';
import { Access } from './access.ts';
import { auditOfCommand, auditOfEntry, auditOfTokenUse } from './auditOfCommand.ts';
import { AuditTrail } from './auditTrail.ts';
import { type AccessBody, changeAccess } from './changeAccess.ts';
import { type AuditChange, changeAudit } from './changeAudit.ts';
import { Clients } from './clients.ts';
import { compactionDueMs, compactStep, type HistoryBounds, moveTo } from './compaction.ts';
import { KeyChanges } from './keyChanges.ts';
import type { RecordVersion } from './keyIndex.ts';
import { Membership, ownConfiguration } from './membership.ts';
import { DONE, outcomeOf } from './outcomes.ts';
import { checkRevision, compacted } from './reads.ts';
import { Records } from './records.ts';
import type { RowBytes } from './rowBytes.ts';
import { RowChanges } from './rowChanges.ts';
import { Tokens } from './tokens.ts';
import { applyTransaction } from './transaction.ts';
import type { AppliedEntry, AppliedOutcomes, AppliedPlace, StoreSize } from './types.ts';
import { applyValueReads } from './valueReads.ts';
import type { EntryChanges } from './writer.ts';

export const HISTORY_BOUNDS: HistoryBounds = {
  revisionsKept: LIMITS.historyRevisionsKept,
  revisionsMax: LIMITS.historyRevisionsMax,
  ageMs: LIMITS.historyAgeMs,
  bytesMax: LIMITS.historyBytesMax,
  stepRecordsMax: LIMITS.compactionStepRecordsMax,
};

/** What an entry did: for its callers, for watchers, and for the disk. */
export interface Applied extends AppliedOutcomes {
  readonly written: readonly RecordVersion[];
  readonly changes: EntryChanges;
}

const NO_HASH = Buffer.alloc(0);
const NOTHING_DONE: AppliedOutcomes = { outcomes: [], accepted: false };

/** Where a command stands: its log index, and its position in the entry. */
interface CommandPlace {
  readonly index: number;
  readonly sub: number;
}

/** A command that may be executed. */
interface Asked {
  readonly body: CommandBody;
  readonly principal: Principal;
  readonly asker: Asker;
  readonly place: CommandPlace;
  readonly progress: Progress;
}

/** How far a command came; as AppliedCommand has it. */
interface Progress {
  isExecuted: boolean;
}

type KeyBody = Extract<
  CommandBody,
  { kind: 'beginKeyChange' | 'confirmKeyChange' | 'abortKeyChange' | 'noteKeyChange' }
>;

/**
 * The state machine. `apply` is a pure, synchronous function of the state and the entry: no clock, no random
 * number, no promise; time comes from the entry. So every node has the same rows and the same digest at the same
 * index (I27, I34). The values of old versions are fetched from where apply put them; nothing else is read.
 */
export class State {
  readonly changes = new RowChanges();
  readonly records: Records;
  readonly access = new Access(this.changes);
  readonly clients = new Clients(this.changes);
  readonly tokens = new Tokens(this.changes);
  readonly membership = new Membership(this.changes);
  readonly keyChanges = new KeyChanges(this.changes);
  readonly audit = new AuditTrail(this.changes);
  readonly #bounds: HistoryBounds;
  readonly #isAudited = (name: string): boolean => this.audit.rules.isAudited(name);
  #place: AppliedPlace = { index: 0, term: 0, hash: Buffer.alloc(32) };
  /** Log time: the latest that any entry carried. Never runs backwards. */
  #timeMs = 0;

  constructor({ rowBytes, bounds }: { rowBytes: RowBytes; bounds?: HistoryBounds }) {
    this.records = new Records({ changes: this.changes, rowBytes });
    this.#bounds = bounds ?? HISTORY_BOUNDS;
  }

  get place(): AppliedPlace {
    return this.#place;
  }

  get timeMs(): number {
    return this.#timeMs;
  }

  /** The log time from which an entry, of whatever kind, has something to expire or compact; or null. */
  get dueMs(): number | null {
    const due = [
      this.access.dueMs,
      this.clients.dueMs,
      this.tokens.dueMs,
      compactionDueMs(this.records, this.#bounds),
    ];
    const times = due.filter((timeMs) => timeMs !== null);
    return times.length === 0 ? null : Math.min(...times);
  }

  /** Takes over the numbers of a head row, once the rows beside it are loaded. */
  restore(head: HeadRow): void {
    this.#place = { index: head.index, term: head.term, hash: Buffer.from(head.hash) };
    this.#timeMs = head.timeMs;
    this.records.revision = head.revision;
    this.records.compactedRevision = head.compactedRevision;
    this.membership.configuration = ownConfiguration(
      present(head.configuration, 'configuration of a head row'),
    );
  }

  get size(): Omit<StoreSize, 'watches'> {
    const { liveKeys, liveBytes, historyBytes, events } = this.records;
    const counts = { clients: this.clients.count, tokens: this.tokens.count };
    return { liveKeys, liveBytes, historyBytes, historyRecords: events.length, ...counts };
  }

  /** How far the state is. */
  head(): HeadRow {
    return {
      ...this.#place,
      revision: this.records.revision,
      compactedRevision: this.records.compactedRevision,
      timeMs: this.#timeMs,
      digest: this.changes.digest.bytes(),
      configuration: this.membership.configuration,
      auditSequence: this.audit.head.sequence,
      auditHash: this.audit.head.sequence === 0 ? NO_HASH : this.audit.head.hash,
    };
  }

  /** @throws HoldfastError DISK_FAILED, STATE_CORRUPT, and InvariantViolation: the node must stop */
  apply(entry: AppliedEntry): Applied {
    const { index, term, hash } = entry.place;
    assert(index === this.#place.index + 1, `I13: entry ${index} is applied after ${this.#place.index}`);
    assert(term >= this.#place.term, 'I3: terms do not go back');
    this.#place = { index, term, hash: Buffer.from(hash) };
    const { outcomes, accepted } = this.#applyKind(entry, index);
    for (const record of auditOfEntry(entry, accepted)) this.#record(record);
    this.audit.endEntry();
    this.clients.endEntry({ index, timeMs: this.#timeMs });
    const written = this.records.takeWritten();
    compactStep(this.records, this.#bounds, { timeMs: this.#timeMs, writtenRecords: written.length });
    return { outcomes, accepted, written, changes: { ...this.changes.take(), head: this.head() } };
  }

  #applyKind(entry: AppliedEntry, index: number): AppliedOutcomes {
    switch (entry.kind) {
      case 'commands': {
        this.#advance(entry.batch.timeMs);
        const apply = (command: Command, sub: number) => this.#applyCommand(command, { index, sub });
        return { outcomes: entry.batch.commands.map(apply), accepted: false };
      }
      case 'configuration':
        this.#advance(entry.timeMs);
        this.membership.reconfigure(entry, index);
        this.keyChanges.removed(entry.removed, keyChangePlace({ index, sub: 0 }));
        return NOTHING_DONE;
      case 'keyring':
        return {
          outcomes: [],
          accepted: this.keyChanges.keyring(entry.step, this.#atKeyChange({ index, sub: 0 })),
        };
      case 'nothing':
        return NOTHING_DONE;
      default:
        return unreachable(entry, 'applied entry');
    }
  }

  /** Time passes before the commands of an entry: what has expired by then is gone for them. */
  #advance(timeMs: number): void {
    assert(Number.isSafeInteger(timeMs) && timeMs >= 0, 'an entry carries a time');
    this.#timeMs = Math.max(this.#timeMs, timeMs);
    this.clients.expire(this.#timeMs);
    this.tokens.expire(this.#timeMs);
    this.access.expire(this.#timeMs);
  }

  #applyCommand(command: Command, place: CommandPlace): Outcome {
    let body: CommandBody | null = null;
    const progress: Progress = { isExecuted: false };
    const outcome = outcomeOf(() => {
      body = commandBody(command);
      return this.#applyBody(command, body, { place, progress });
    });
    if (body === null) return outcome;
    const applied = { command, body, outcome, ...progress };
    for (const record of auditOfCommand(applied, this.#isAudited)) this.#record(record);
    return outcome;
  }

  #record(record: AuditRecord): void {
    this.audit.add(record, { index: this.#place.index, timeMs: this.#timeMs });
  }

  #applyBody(command: Command, body: CommandBody, at: Pick<Asked, 'place' | 'progress'>): Outcome {
    const { request } = command;
    const reason =
      checkPrincipal(command.principal) ?? checkBody(body) ?? (request ? checkRequestId(request) : null);
    if (reason !== null) throw reason;
    const principal = present(command.principal, 'checked principal');
    const asker = this.access.asker(principal, () => this.#timeMs);
    requireAllowed(decide(asker, body));
    const asked: Asked = { body, principal, asker, ...at };
    return request ? this.#once(request, asked) : this.#execute(asked);
  }

  /** Refusals of a new request are answers too, and kept. */
  #once(request: RequestId, asked: Asked): Outcome {
    const hash = bodyHash(asked.body);
    const verdict = this.clients.judge(request, { principal: asked.principal, bodyHash: hash });
    if (verdict.kind === 'replay') return verdict.outcome;
    const outcome = outcomeOf(() => this.#execute(asked));
    this.clients.keep(request, { bodyHash: hash, outcome, timeMs: this.#timeMs });
    return outcome;
  }

  /** Changes the state or throws a refusal, never both. */
  #execute({ body, principal, asker, place, progress }: Asked): Outcome {
    progress.isExecuted = true;
    const timeMs = this.#timeMs;
    switch (body.kind) {
      case 'transaction':
        return { transaction: applyTransaction(this.records, body.transaction, timeMs), replayed: false };
      case 'registerClient':
        return {
          client: { clientId: this.clients.register({ ...place, principal, timeMs }) },
          replayed: false,
        };
      case 'closeClient':
        this.clients.close(body.clientId, principal);
        return DONE;
      case 'compact':
        this.#compact(body.revision);
        return DONE;
      case 'bootstrap':
        this.membership.bootstrap(body.bootstrap, place);
        return DONE;
      case 'createToken':
        this.tokens.create(body.createToken, { place: tokenPlace(place), timeMs });
        return DONE;
      case 'useToken':
        return this.#useToken(body.useToken, place);
      case 'revokeToken':
        this.tokens.revoke(body.id);
        return DONE;
      case 'rotateAuthority':
      case 'switchAuthority':
      case 'finishAuthorityRotation':
        this.membership.rotate(body, place);
        return DONE;
      case 'advanceTime':
        return DONE;
      case 'readValues':
        return this.#readValues(body.reads, asker.rights);
      case 'noteAudit':
      case 'setAuditSettings':
      case 'checkpointAudit':
      case 'setAlerts':
      case 'noteAlerts':
        this.#changeAudit(body, place);
        return DONE;
      case 'noteTokenUse':
        this.#noteTokenUse(body.use, { nodeId: principal.name, place });
        return DONE;
      case 'beginKeyChange':
      case 'confirmKeyChange':
      case 'abortKeyChange':
      case 'noteKeyChange':
        this.#changeKeys(body, place);
        return DONE;
      case 'putPolicy':
      case 'deletePolicy':
      case 'createAccessToken':
      case 'revokeAccessToken':
      case 'createUser':
      case 'deleteUser':
      case 'setPassword':
      case 'setUserRoles':
      case 'login':
      case 'endSession':
      case 'resetAdmin':
        return this.#changeAccess(body, { principal, asker, place });
      default:
        return unreachable(body, 'command body');
    }
  }

  #readValues(reads: readonly ValueRead[], rights: Rights): Outcome {
    return applyValueReads(reads, { records: this.records, rights, isAudited: this.#isAudited });
  }

  #noteTokenUse(
    noted: NoteTokenUse,
    { nodeId, place }: { readonly nodeId: string; readonly place: CommandPlace },
  ): void {
    const { index: number, sub } = place;
    const use = this.access.noteUse(noted, { number, sub, timeMs: this.#timeMs });
    if (use !== null) this.#record(auditOfTokenUse(noted, { use, nodeId }));
  }

  #changeAudit(body: AuditChange, place: CommandPlace): void {
    const certificate = this.membership.authority?.certificate ?? NO_HASH;
    changeAudit(this.audit, body, { place, timeMs: this.#timeMs, certificate });
  }

  #changeAccess(
    body: AccessBody,
    { principal, asker, place }: Pick<Asked, 'principal' | 'asker' | 'place'>,
  ): Outcome {
    const { index: number, sub } = place;
    const { resets } = this.access.users;
    // Its node died before it knew that it was obeyed: nothing happens that would be recorded.
    const replayed = body.kind === 'resetAdmin' && resets.wasObeyed(body.reset.id);
    changeAccess(this.access, body, { number, sub, principal, rights: asker.rights, timeMs: this.#timeMs });
    return { ...DONE, replayed };
  }

  #changeKeys(body: KeyBody, place: CommandPlace): void {
    switch (body.kind) {
      case 'beginKeyChange':
        return this.keyChanges.begin(body.begin, this.#atKeyChange(place));
      case 'confirmKeyChange':
        return this.keyChanges.confirm(body.confirm, keyChangePlace(place));
      case 'abortKeyChange':
        return this.keyChanges.abort(body.id, this.#atKeyChange(place));
      case 'noteKeyChange':
        return this.keyChanges.note(body.note, this.#atKeyChange(place));
      default:
        return unreachable(body, 'change of keys');
    }
  }

  #atKeyChange(place: CommandPlace) {
    const { configuration } = this.membership;
    return { place: keyChangePlace(place), timeMs: this.#timeMs, configuration };
  }

  #useToken(use: UseToken, place: CommandPlace): Outcome {
    const role = this.tokens.use(use, {
      place: tokenPlace(place),
      timeMs: this.#timeMs,
      isRemoved: this.membership.isRemoved(use.nodeId),
      isMember: this.membership.member(use.nodeId) !== null,
    });
    return { token: { role }, replayed: false };
  }

  #compact(revision: number): void {
    checkRevision(this.records, revision);
    if (revision === this.records.compactedRevision) throw compacted(this.records, revision);
    moveTo(this.records, revision);
  }
}

function tokenPlace({ index, sub }: CommandPlace) {
  return { table: 't', number: index, sub } as const;
}

function keyChangePlace({ index, sub }: CommandPlace) {
  return { table: 'r', number: index, sub } as const;
}
