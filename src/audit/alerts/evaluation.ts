/** Which audit records are worth an alert: a function of the records and the rules alone, so that whoever leads finds the same. */
import { addressGroup } from '../../base/address.ts';
import { unreachable } from '../../base/assert.ts';
import { toHoldfastError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import type { AlertRule, AuditRecord } from '../../proto/audit.ts';
import { type Matches, matching } from '../query.ts';
import { ALERT_ACTION, ANOTHER_ADDRESS, DENIALS } from '../record/actions.ts';
import { type AlertKind, isAlertKind } from '../record/alertKinds.ts';
import type { ChainedRecord } from '../record/chain.ts';
import { withinHours } from './officeHours.ts';
import { SlidingCount } from './slidingCount.ts';

/** Why a record is worth an alert; null: it is not. */
interface Finding {
  readonly because: string;
  readonly count: number;
}

/** One that this machine cannot judge by. */
export interface UnusableRule {
  readonly name: string;
  readonly reason: string;
}

/** How a rule looks at a record. */
interface Judge {
  readonly find: (record: ChainedRecord) => Finding | null;
  /** About whom or what an alert is. */
  readonly subjectOf: (record: AuditRecord) => string;
}

const READS: ReadonlySet<string> = new Set(['kv.read', 'kv.reveal', 'kv.compare']);
/** The rule, and the record that gave the alert. */
const SAID = /^([a-z0-9-]+): .*, record ([0-9]+)$/;
const NOTHING = Buffer.alloc(0);

/**
 * Goes over audit records in their order. Whoever goes over records that were judged before learns first which alerts they gave
 * (`know`): so he is quiet about the same subjects for the same time as who judged them.
 */
export class AlertEvaluation {
  readonly #rules: RuleEvaluation[] = [];
  readonly #unusable: UnusableRule[] = [];

  constructor(rules: readonly AlertRule[]) {
    for (const rule of rules) {
      try {
        this.#rules.push(new RuleEvaluation(rule));
      } catch (thrown) {
        this.#unusable.push({ name: rule.name, reason: toHoldfastError(thrown).message });
      }
    }
  }

  /** Rules that are passed over: another machine let them in. */
  get unusable(): readonly UnusableRule[] {
    return this.#unusable;
  }

  /** How much earlier records have to be gone over before the first one that counts, so that none is missed or told again. */
  get memoryMs(): number {
    return Math.max(0, ...this.#rules.map(({ memoryMs }) => memoryMs));
  }

  /** Of an alert that is a record already. */
  know(alert: AuditRecord): void {
    for (const rule of this.#rules) rule.know(alert);
  }

  /** The alerts that a record gives. One that was judged before (`isJudged`) counts, and gives none. */
  take(record: ChainedRecord, isJudged = false): readonly AuditRecord[] {
    return this.#rules.flatMap((rule) => rule.take(record, isJudged) ?? []);
  }
}

/** @throws HoldfastError INVALID_ARGUMENT for rules that this machine cannot judge by */
export function requireUsable(rules: readonly AlertRule[]): void {
  for (const rule of rules) void new RuleEvaluation(rule);
}

class RuleEvaluation {
  readonly #rule: AlertRule;
  readonly #judge: Judge;
  readonly #quietMs: number;
  /** Sequences of the records that have given an alert, as far as that is known. */
  readonly #known = new Set<number>();
  /** By subject: the log time of what gave its last alert, the oldest first. */
  readonly #raisedMs = new Map<string, number>();

  constructor(rule: AlertRule) {
    this.#rule = rule;
    const kind = kindOf(rule);
    this.#judge = JUDGES[kind](rule);
    this.#quietMs = quietMsOf(kind, rule);
  }

  get memoryMs(): number {
    return Math.max(this.#rule.withinMs, this.#quietMs);
  }

  know({ detail }: AuditRecord): void {
    const [, rule, sequence] = SAID.exec(detail) ?? [];
    if (rule === this.#rule.name) this.#known.add(Number(sequence));
  }

  take(record: ChainedRecord, isJudged: boolean): AuditRecord | null {
    const found = this.#judge.find(record);
    if (found === null) return null;
    const subject = this.#judge.subjectOf(record);
    const gives = isJudged ? this.#known.has(record.sequence) : !this.#isQuiet(subject, record.timeMs);
    if (gives) this.#note(subject, record.timeMs);
    return gives && !isJudged ? alertOf(this.#rule, record, found) : null;
  }

  #isQuiet(subject: string, timeMs: number): boolean {
    const raisedMs = this.#raisedMs.get(subject);
    return raisedMs !== undefined && timeMs < raisedMs + this.#quietMs;
  }

  #note(subject: string, timeMs: number): void {
    if (this.#quietMs === 0) return;
    this.#raisedMs.delete(subject);
    this.#raisedMs.set(subject, timeMs);
    if (this.#raisedMs.size <= LIMITS.alertSubjectsMax) return;
    const [oldest] = this.#raisedMs.keys();
    if (oldest !== undefined) this.#raisedMs.delete(oldest);
  }
}

const principalOf = ({ principalKind, principal }: AuditRecord): string => `${principalKind} ${principal}`;
const resourceOf = ({ resource }: AuditRecord): string => Buffer.from(resource).toString('latin1');
const addressOf = ({ address }: AuditRecord): string => addressGroup(address);

const JUDGES: Readonly<Record<AlertKind, (rule: AlertRule) => Judge>> = {
  'reads-outside-hours': (rule) => {
    const isRead = readsOf(rule);
    const isWithin = withinHours(rule);
    const find = (record: ChainedRecord): Finding | null =>
      isRead(record) && !isWithin(record.timeMs) ? { because: 'read outside the hours', count: 1 } : null;
    return { find, subjectOf: principalOf };
  },
  'many-readers': (rule) => {
    const isRead = readsOf(rule);
    const readers = new SlidingCount(rule);
    const find = (record: ChainedRecord): Finding | null => {
      if (!isRead(record)) return null;
      const reader = { what: principalOf(record), timeMs: record.timeMs, times: 1 };
      const count = readers.add(resourceOf(record), reader);
      return count < rule.count ? null : { because: `read by ${count} principals`, count };
    };
    return { find, subjectOf: resourceOf };
  },
  denials: (rule) => {
    const subjectOf = rule.by === 'address' ? addressOf : principalOf;
    const denials = new SlidingCount(rule);
    const find = (record: ChainedRecord): Finding | null => {
      const subject = subjectOf(record);
      // Denials of many, folded into one record, are not those of one who has no name.
      if (!DENIALS.has(record.result) || subject.trim() === '') return null;
      const { sequence, timeMs, count: times } = record;
      const count = denials.add(subject, { what: `${sequence}`, timeMs, times });
      return count < rule.count ? null : { because: `${count} denials`, count };
    };
    return { find, subjectOf };
  },
  'token-address': () => ({
    find: ({ action, detail }) =>
      action === 'token.new-address' && detail === ANOTHER_ADDRESS
        ? { because: 'a token is used from another address', count: 1 }
        : null,
    subjectOf: principalOf,
  }),
  'break-glass': () => ({
    find: ({ action }) =>
      action === 'user.reset'
        ? { because: 'the administrator was reset with the control key', count: 1 }
        : null,
    subjectOf: principalOf,
  }),
};

function kindOf({ kind }: AlertRule): AlertKind {
  if (!isAlertKind(kind)) throw new TypeError(`a rule of kind ${kind} was let in`);
  return kind;
}

/** For how long a rule says nothing more about a subject. */
function quietMsOf(kind: AlertKind, { withinMs }: AlertRule): number {
  switch (kind) {
    case 'many-readers':
    case 'denials':
      return withinMs;
    case 'reads-outside-hours':
      return LIMITS.alertRepeatMs;
    case 'token-address':
    case 'break-glass':
      return 0;
    default:
      return unreachable(kind, 'kind of alert rule');
  }
}

function readsOf({ resource }: AlertRule): Matches {
  const isResource = matching({ principal: '', action: '', resource, result: '' });
  return (record) => READS.has(record.action) && !DENIALS.has(record.result) && isResource(record);
}

function alertOf(rule: AlertRule, record: ChainedRecord, { because, count }: Finding): AuditRecord {
  const { principalKind, principal, session, address, resource } = record;
  return {
    principalKind,
    principal,
    session,
    address,
    node: '',
    action: ALERT_ACTION,
    resource,
    resourceEnd: NOTHING,
    result: 'OK',
    requestId: '',
    revision: 0,
    count,
    detail: `${rule.name}: ${because}, record ${record.sequence}`,
  };
}
