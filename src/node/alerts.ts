import { AlertEvaluation, type UnusableRule } from '../audit/alerts/evaluation.ts';
import type { AlertDelivery } from '../audit/alerts/webhook.ts';
import { ALERT_ACTION, isAlert, UNDELIVERED_ACTION } from '../audit/record/actions.ts';
import type { ChainedRecord } from '../audit/record/chain.ts';
import type { Clock } from '../base/clock.ts';
import { type HoldfastError, toHoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { Logger } from '../base/logger.ts';
import { RareLines } from '../base/rareLines.ts';
import { polled, type Scheduler } from '../base/scheduler.ts';
import type { AlertCursor, AlertSettings, AuditRecord } from '../proto/audit.ts';
import type { Store } from '../store/store.ts';
import type { Leadership } from './leadership.ts';
import type { Submit } from './submit.ts';

export interface AlertsParts {
  readonly nodeId: string;
  readonly store: Pick<Store, 'audit' | 'auditRecords' | 'flushed' | 'missing'>;
  readonly submit: Pick<Submit, 'submit'>;
  readonly leadership: Pick<Leadership, 'isLeader'>;
  readonly delivery: AlertDelivery;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly logger: Logger;
}

/** What one leader has found since it began, from the state that all have. */
interface Course {
  readonly settings: AlertSettings;
  readonly evaluation: AlertEvaluation;
  cursor: AlertCursor;
  /** Up to here there may be alerts that records gave which were judged before. */
  readonly toLearn: number;
  /** The last record that was looked at for that. */
  learnt: number;
  /** The last record that was gone over. */
  taken: number;
  /** Alerts that are no records yet. */
  found: AuditRecord[];
  /** Alerts that are, and that the webhook has not got. */
  waiting: ChainedRecord[];
  /** More wait than are held here: they are found again. */
  isOverfull: boolean;
  /** The last alert that the webhook has got, or will not get, since the last note; 0: none. */
  deliveredTo: number;
  /** How often in a row the webhook has refused for good the alert that is its turn. */
  refusals: number;
}

/**
 * Finds what is worth an alert. Only the leader does; how far it has come is in the state, and whoever leads next goes on from there:
 * each alert is found once, whatever becomes of a leader (I56), and is delivered once at least.
 */
export class Alerts {
  readonly #parts: AlertsParts;
  readonly #rare: RareLines;
  #course: Course | null = null;
  #isTurning = false;
  #isSending = false;
  /** Which webhook did not get the last alert, and why; null: it got it, or may get it still. */
  #passedOver: { readonly url: string; readonly reason: string } | null = null;
  #retryAtMs = 0;
  #retryMs: number = LIMITS.webhookRetryMsMin;

  constructor(parts: AlertsParts) {
    this.#parts = parts;
    this.#rare = new RareLines(parts.clock);
  }

  /** What an operator should look at, one sentence each. */
  get warnings(): readonly string[] {
    const course = this.#course;
    if (course === null) return [];
    const behind = this.#parts.store.audit.head.sequence - course.taken;
    const isFar = behind > LIMITS.alertCursorRecordsMax;
    const refused = this.#passedOver?.url === course.settings.webhook?.url ? this.#passedOver : null;
    return [
      ...course.evaluation.unusable.map(passedOver),
      ...(refused === null ? [] : [refused.reason]),
      ...(isFar ? [`the alert rules are behind by ${behind} audit records`] : []),
    ];
  }

  /** Called every LIMITS.alertTickMs; resolves when it has done its part. */
  async tick(): Promise<void> {
    if (this.#isTurning) return;
    this.#isTurning = true;
    try {
      await this.#turn();
    } catch (thrown) {
      this.#course = null;
      this.#warn(toHoldfastError(thrown).message, 'alerts cannot be looked for');
    } finally {
      this.#isTurning = false;
    }
  }

  async #turn(): Promise<void> {
    const { store, leadership, clock } = this.#parts;
    const isAsked = leadership.isLeader && store.missing === null && isSet(store.audit.rules.alerts);
    if (!isAsked) this.#course = null;
    else if (!this.#isCurrent(this.#course)) this.#course = await this.#begin();
    const course = this.#course;
    if (course === null) return;
    const endMs = clock.monotonicMs() + LIMITS.alertSliceMs;
    await this.#learn(course, endMs);
    await this.#goOver(course, endMs);
    this.#deliver(course);
    if (isWorthNoting(course)) await this.#note(course);
  }

  #isCurrent(course: Course | null): course is Course {
    const { alerts, alertCursor } = this.#parts.store.audit.rules;
    if (course === null || course.settings !== alerts) return false;
    const isDrained = course.isOverfull && course.waiting.length === 0 && course.deliveredTo === 0;
    return !isDrained && sameCursor(course.cursor, alertCursor);
  }

  /** From so far back that nothing is missed, nothing said twice, and nothing left undelivered. */
  async #begin(): Promise<Course> {
    const { store } = this.#parts;
    const { rows, rules } = store.audit;
    const { alerts: settings, alertCursor: cursor } = rules;
    const evaluation = new AlertEvaluation(settings.rules);
    for (const rule of evaluation.unusable) this.#warn(rule.reason, passedOver(rule));
    const at = rows.positionOf(cursor.evaluated);
    const sinceMs = at < 0 || at >= rows.length ? 0 : rows.at(at).timeMs - evaluation.memoryMs;
    const position = rows.positionFrom(sinceMs);
    const first = position < rows.length ? rows.at(position).number : cursor.evaluated + 1;
    const undelivered = settings.webhook ? cursor.delivered + 1 : first;
    const taken = Math.min(first, undelivered, cursor.evaluated + 1) - 1;
    const toLearn = store.audit.head.sequence;
    // Those of the records up to the cursor are all on disk or on their way there, since the cursor moved with them.
    await store.flushed();
    const nothing = { found: [], waiting: [], isOverfull: false, deliveredTo: 0, refusals: 0 };
    return { settings, evaluation, cursor, toLearn, learnt: taken, taken, ...nothing };
  }

  /** Which alerts were given, which has to be known before the records that gave them are gone over again. */
  async #learn(course: Course, endMs: number): Promise<void> {
    if (course.learnt >= course.toLearn) return;
    for await (const portion of this.#portions(course.learnt, endMs)) {
      for (const record of portion) {
        if (record.action === ALERT_ACTION) course.evaluation.know(record);
        course.learnt = record.sequence;
      }
    }
  }

  async #goOver(course: Course, endMs: number): Promise<void> {
    if (course.learnt < course.toLearn) return;
    for await (const portion of this.#portions(course.taken, endMs)) {
      for (const record of portion) {
        this.#take(course, record);
        if (course.found.length >= LIMITS.alertsAtOnceMax) return;
      }
    }
  }

  /** Of the records after one: the first, and more as long as there is time; others have their turn between. */
  async *#portions(after: number, endMs: number): AsyncGenerator<readonly ChainedRecord[]> {
    const { store, clock, scheduler } = this.#parts;
    if (store.audit.head.sequence <= after) return;
    for await (const portion of store.auditRecords({ sequence: after + 1, timeMs: 0 })) {
      yield portion;
      if (clock.monotonicMs() >= endMs) return;
      await polled(scheduler);
    }
  }

  #take(course: Course, record: ChainedRecord): void {
    const { evaluated, delivered } = course.cursor;
    course.found.push(...course.evaluation.take(record, record.sequence <= evaluated));
    if (course.settings.webhook && isAlert(record) && record.sequence > delivered) {
      if (course.waiting.length >= LIMITS.alertsWaitingMax) course.isOverfull = true;
      else course.waiting.push(record);
    }
    course.taken = record.sequence;
  }

  /** @throws nothing: what was not noted is found again from the state */
  async #note(course: Course): Promise<void> {
    const { submit, clock, nodeId } = this.#parts;
    const evaluated = Math.max(course.cursor.evaluated, course.taken);
    const { cursor: before, deliveredTo } = course;
    const after = { evaluated, delivered: deliveredOf(course) };
    const principal = { kind: 'node', name: nodeId, address: '' };
    const noteAlerts = { before, after, alerts: [...course.found] };
    try {
      const deadlineMs = clock.monotonicMs() + LIMITS.requestTimeoutMs;
      const { failure } = await submit.submit({ principal, noteAlerts }, deadlineMs);
      if (failure) throw new Error(failure.message);
      course.cursor = after;
      // The webhook may have got, or refused, another one meanwhile.
      course.found = course.found.slice(noteAlerts.alerts.length);
      if (course.deliveredTo === deliveredTo) course.deliveredTo = 0;
    } catch {
      if (this.#course === course) this.#course = null;
    }
  }

  /** One at a time, in their order, without holding up anything else. */
  #deliver(course: Course): void {
    const [alert] = course.waiting;
    const { webhook } = course.settings;
    const { delivery, clock } = this.#parts;
    if (alert === undefined || !webhook || this.#isSending || clock.monotonicMs() < this.#retryAtMs) return;
    this.#isSending = true;
    delivery(webhook, alert)
      .then(
        () => {
          this.#retryMs = LIMITS.webhookRetryMsMin;
          course.waiting.shift();
          course.deliveredTo = alert.sequence;
          this.#passedOver = null;
        },
        (thrown: unknown) =>
          this.#refused(course, { alert, url: webhook.url, error: toHoldfastError(thrown) }),
      )
      .finally(() => {
        this.#isSending = false;
      });
  }

  /** It is tried again; but what the receiver refuses for good must not keep back all that come after it. */
  #refused(
    course: Course,
    {
      alert,
      url,
      error,
    }: { readonly alert: ChainedRecord; readonly url: string; readonly error: HoldfastError },
  ): void {
    const isForGood = error.code === 'INVALID_ARGUMENT';
    course.refusals = isForGood ? course.refusals + 1 : 0;
    if (course.refusals < LIMITS.webhookRefusalsMax) {
      this.#retryAtMs = this.#parts.clock.monotonicMs() + this.#retryMs;
      this.#retryMs = Math.min(2 * this.#retryMs, LIMITS.webhookRetryMsMax);
      this.#warn(error.message, 'an alert waits: the webhook does not take it');
      return;
    }
    course.refusals = 0;
    this.#retryMs = LIMITS.webhookRetryMsMin;
    course.waiting.shift();
    course.deliveredTo = alert.sequence;
    course.found.push(undelivered(alert, error.message));
    const reason = `the webhook refuses alerts, and they are passed over: ${error.message}`;
    this.#passedOver = { url, reason };
    this.#warn(error.message, 'an alert is passed over: the webhook refuses it for good');
  }

  #warn(reason: string, line: string): void {
    if (this.#rare.isDue(line)) this.#parts.logger.warn({ reason }, line);
  }
}

const passedOver = ({ name, reason }: UnusableRule): string =>
  `the alert rule ${name} is passed over: ${reason}`;

/** What an alert became. */
const undelivered = (alert: ChainedRecord, why: string): AuditRecord => {
  const { principalKind, principal, session, address, node, resource, resourceEnd, requestId } = alert;
  const of = { principalKind, principal, session, address, node, resource, resourceEnd, requestId };
  const detail = `alert ${alert.sequence}: ${why}`;
  return { ...of, action: UNDELIVERED_ACTION, result: 'UNAVAILABLE', revision: 0, count: 1, detail };
};

const isSet = ({ rules, webhook }: AlertSettings): boolean => rules.length > 0 || Boolean(webhook);

const sameCursor = (one: AlertCursor, other: AlertCursor): boolean =>
  one.evaluated === other.evaluated && one.delivered === other.delivered;

/** Nothing waits up to here. */
function deliveredOf({ waiting, cursor, taken, isOverfull, settings, deliveredTo }: Course): number {
  const [first] = waiting;
  if (!settings.webhook) return cursor.delivered;
  if (first !== undefined) return Math.max(cursor.delivered, first.sequence - 1);
  return Math.max(cursor.delivered, isOverfull ? deliveredTo : taken);
}

/** That there was nothing is noted only now and then. */
function isWorthNoting({ found, cursor, taken, deliveredTo }: Course): boolean {
  return found.length > 0 || deliveredTo > 0 || taken - cursor.evaluated >= LIMITS.alertCursorRecordsMax;
}
