import { type NameRange, overlap } from '../access/policy/nameRange.ts';
import { parsePathPattern } from '../access/policy/pathPattern.ts';
import { rangeOf } from '../access/policy/rights.ts';
import { RuleTree } from '../access/policy/ruleTree.ts';
import { SECRET_NAMES } from '../access/policy/secretNames.ts';
import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import {
  type AlertCursor,
  type AlertSettings,
  type AlertWebhook,
  type AuditSettings,
  auditSettingsRowCodec,
  type FormerRetention,
  type KeptCheckpoint,
  type NoteAlerts,
} from '../proto/audit.ts';

import { formerRetention, type Retention } from './retention.ts';
import { plaintextOf, type Row } from './row.ts';
import type { RowChanges } from './rowChanges.ts';

export const DEFAULT_AUDIT_SETTINGS: AuditSettings = {
  reads: [SECRET_NAMES],
  retentionMs: LIMITS.auditRetentionMs,
};

/** How the audit is set, and where it begins. */
export class AuditRules {
  readonly #changes: RowChanges;
  #row: Row | null = null;
  #settings = DEFAULT_AUDIT_SETTINGS;
  #former: FormerRetention | null = null;
  #checkpoint: KeptCheckpoint | null = null;
  #names = namesOf(DEFAULT_AUDIT_SETTINGS.reads);
  #alerts: AlertSettings = { rules: [], webhook: null };
  #alertCursor: AlertCursor = { evaluated: 0, delivered: 0 };

  constructor(changes: RowChanges) {
    this.#changes = changes;
  }

  get settings(): AuditSettings {
    return this.#settings;
  }

  /** How long records are kept, which may be longer than the settings say. */
  get retention(): Retention {
    return { retentionMs: this.#settings.retentionMs, former: this.#former };
  }

  /** What is no longer kept; null: all is. */
  get checkpoint(): KeptCheckpoint | null {
    return this.#checkpoint;
  }

  /** What is worth an alert, and where alerts are sent. */
  get alerts(): AlertSettings {
    return this.#alerts;
  }

  /** How far alerts are. */
  get alertCursor(): AlertCursor {
    return this.#alertCursor;
  }

  /** Whether the value of a name (latin-1) is handed out only with a record. */
  isAudited(name: string): boolean {
    return this.#names.tree.decisive(name) !== null;
  }

  /** Whether any name of the range may be audited, be there such a name or not. */
  mayBeAudited(range: NameRange): boolean {
    return this.#names.ranges.some((one) => overlap(one, range));
  }

  /**
   * @param change `expected`: what they have to be until now; null: whatever they are
   * @throws HoldfastError INVALID_ARGUMENT
   */
  set({ settings, expected }: SettingsChange, { place, timeMs }: SettingsTime): void {
    if (expected !== null && !isSame(expected, this.#settings)) throw otherSettings();
    const { reads, retentionMs } = settings;
    this.#names = namesOf(reads);
    this.#former = formerRetention(this.retention, { retentionMs, timeMs });
    this.#settings = { reads: [...reads], retentionMs };
    this.#keep(place);
  }

  setCheckpoint(checkpoint: KeptCheckpoint, place: { readonly index: number; readonly sub: number }): void {
    this.#checkpoint = ownCheckpoint(checkpoint);
    this.#keep(place);
  }

  /**
   * Rules look at what is recorded from now on. A webhook without a secret keeps the one that it has.
   * @throws HoldfastError INVALID_ARGUMENT
   */
  setAlerts({ rules, webhook }: AlertSettings, { place, sequence }: AlertChange): void {
    for (const [at, { resource }] of rules.entries())
      if (resource !== '') parsePathPattern(resource, `rules[${at}].resource`);
    const { rules: former, webhook: present } = this.#alerts;
    this.#alerts = { rules: rules.map((rule) => ({ ...rule })), webhook: ownWebhook(webhook, present) };
    const { evaluated, delivered } = this.#alertCursor;
    this.#alertCursor = {
      evaluated: former.length === 0 ? sequence : evaluated,
      delivered: present ? delivered : sequence,
    };
    this.#keep(place);
  }

  /**
   * Invariant I56: what is between two cursors is judged once, whoever leads: of two who went on from the same one, the second
   * changes nothing. @throws HoldfastError INVALID_ARGUMENT
   */
  noteAlerts({ before, after }: NoteAlerts, { place, sequence }: AlertChange): void {
    const { evaluated, delivered } = this.#alertCursor;
    if (before?.evaluated !== evaluated || before.delivered !== delivered)
      throw refusedCursor('somebody has gone on from there');
    if (!after || after.evaluated > sequence || after.delivered > sequence)
      throw refusedCursor('there are no such records');
    this.#alertCursor = { evaluated: after.evaluated, delivered: after.delivered };
    this.#keep(place);
  }

  load(row: Row, encoded: Buffer): void {
    const { settings, checkpoint, alerts, cursor, former } = auditSettingsRowCodec.decode(
      plaintextOf(encoded),
    );
    const { reads, retentionMs } = settings ?? { reads: [], retentionMs: 0 };
    this.#settings = { reads: [...reads], retentionMs };
    this.#names = namesOf(reads);
    this.#former = former ? { retentionMs: former.retentionMs, untilMs: former.untilMs } : null;
    this.#checkpoint = checkpoint ? ownCheckpoint(checkpoint) : null;
    const { rules, webhook } = alerts ?? { rules: [], webhook: null };
    this.#alerts = { rules: rules.map((rule) => ({ ...rule })), webhook: ownWebhook(webhook, null) };
    this.#alertCursor = { evaluated: cursor?.evaluated ?? 0, delivered: cursor?.delivered ?? 0 };
    this.#row = this.#changes.loaded(row);
  }

  #keep({ index, sub }: { readonly index: number; readonly sub: number }): void {
    if (this.#row !== null) this.#changes.drop(this.#row);
    this.#row = this.#changes.create(
      { table: 'e', number: index, sub },
      auditSettingsRowCodec.encode({
        settings: this.#settings,
        checkpoint: this.#checkpoint,
        alerts: this.#alerts,
        cursor: this.#alertCursor,
        former: this.#former,
      }),
    );
  }
}

/** Where settings are changed, and the log time there. */
interface SettingsTime {
  readonly place: { readonly index: number; readonly sub: number };
  readonly timeMs: number;
}

/** Where alerts are changed, and the last record there. */
interface AlertChange {
  readonly place: { readonly index: number; readonly sub: number };
  readonly sequence: number;
}

interface SettingsChange {
  readonly settings: AuditSettings;
  readonly expected: AuditSettings | null;
}

const isSame = (one: AuditSettings, other: AuditSettings): boolean =>
  one.retentionMs === other.retentionMs &&
  one.reads.length === other.reads.length &&
  one.reads.every((pattern, at) => pattern === other.reads[at]);

interface AuditedNames {
  readonly tree: RuleTree;
  readonly ranges: readonly NameRange[];
}

/** @throws HoldfastError INVALID_ARGUMENT */
function namesOf(reads: readonly string[]): AuditedNames {
  const patterns = [...new Set(reads)].map((text, at) => parsePathPattern(text, `reads[${at}]`));
  const rules = patterns.map((pattern) => ({ pattern, capabilities: new Set<never>() }));
  return { tree: new RuleTree([{ policy: 'audit', rules }]), ranges: patterns.map(rangeOf) };
}

/** In memory of its own: what was decoded shares that of its entry. */
function ownCheckpoint({ sequence, timeMs, ...bytes }: KeptCheckpoint): KeptCheckpoint {
  return {
    sequence,
    timeMs,
    hash: Buffer.from(bytes.hash),
    signature: Buffer.from(bytes.signature),
    certificate: Buffer.from(bytes.certificate),
  };
}

/** @throws HoldfastError INVALID_ARGUMENT: there is no secret to keep */
function ownWebhook(
  webhook: AlertSettings['webhook'],
  present: AlertSettings['webhook'],
): AlertWebhook | null {
  if (!webhook) return null;
  const secret =
    webhook.secret.length === 0 && present?.url === webhook.url ? present.secret : webhook.secret;
  if (secret.length === 0)
    throw new HoldfastError('INVALID_ARGUMENT', 'webhook.secret is missing', {
      field: 'webhook.secret',
      hint: 'Another address takes a secret of its own.',
    });
  return { url: webhook.url, secret: Buffer.from(secret) };
}

function otherSettings(): HoldfastError {
  return new HoldfastError(
    'INVALID_ARGUMENT',
    'the settings of the audit are not the ones that are expected',
    {
      field: 'expected',
      hint: 'somebody else has changed them: look at them, and ask again',
    },
  );
}

function refusedCursor(why: string): HoldfastError {
  return new HoldfastError('INVALID_ARGUMENT', `alerts do not go on from there: ${why}`, { field: 'cursor' });
}
