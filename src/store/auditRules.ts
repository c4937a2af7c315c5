import { type NameRange, overlap } from '../access/policy/nameRange.ts';
import { parsePathPattern } from '../access/policy/pathPattern.ts';
import { rangeOf } from '../access/policy/rights.ts';
import { RuleTree } from '../access/policy/ruleTree.ts';
import { SECRET_NAMES } from '../access/policy/secretNames.ts';
import { LIMITS } from '../base/limits.ts';
import { type AuditCheckpoint, type AuditSettings, auditSettingsRowCodec } from '../proto/audit.ts';

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
  #checkpoint: AuditCheckpoint | null = null;
  #names = namesOf(DEFAULT_AUDIT_SETTINGS.reads);

  constructor(changes: RowChanges) {
    this.#changes = changes;
  }

  get settings(): AuditSettings {
    return this.#settings;
  }

  /** What is no longer kept; null: all is. */
  get checkpoint(): AuditCheckpoint | null {
    return this.#checkpoint;
  }

  /** Whether the value of a name (latin-1) is handed out only with a record. */
  isAudited(name: string): boolean {
    return this.#names.tree.decisive(name) !== null;
  }

  /** Whether any name of the range may be audited, be there such a name or not. */
  mayBeAudited(range: NameRange): boolean {
    return this.#names.ranges.some((one) => overlap(one, range));
  }

  /** @throws HoldfastError INVALID_ARGUMENT */
  set(settings: AuditSettings, place: { readonly index: number; readonly sub: number }): void {
    this.#names = namesOf(settings.reads);
    this.#settings = { reads: [...settings.reads], retentionMs: settings.retentionMs };
    this.#keep(place);
  }

  setCheckpoint(checkpoint: AuditCheckpoint, place: { readonly index: number; readonly sub: number }): void {
    this.#checkpoint = ownCheckpoint(checkpoint);
    this.#keep(place);
  }

  load(row: Row, encoded: Buffer): void {
    const { settings, checkpoint } = auditSettingsRowCodec.decode(plaintextOf(encoded));
    const { reads, retentionMs } = settings ?? { reads: [], retentionMs: 0 };
    this.#settings = { reads: [...reads], retentionMs };
    this.#names = namesOf(reads);
    this.#checkpoint = checkpoint ? ownCheckpoint(checkpoint) : null;
    this.#row = this.#changes.loaded(row);
  }

  #keep({ index, sub }: { readonly index: number; readonly sub: number }): void {
    if (this.#row !== null) this.#changes.drop(this.#row);
    this.#row = this.#changes.create(
      { table: 'e', number: index, sub },
      auditSettingsRowCodec.encode({ settings: this.#settings, checkpoint: this.#checkpoint }),
    );
  }
}

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
function ownCheckpoint({ sequence, hash, timeMs, signature }: AuditCheckpoint): AuditCheckpoint {
  return { sequence, hash: Buffer.from(hash), timeMs, signature: Buffer.from(signature) };
}
