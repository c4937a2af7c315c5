import { isDeepStrictEqual } from 'node:util';
import type { AuditPort, Caller } from '../../src/api/ports.ts';
import { matching } from '../../src/audit/query.ts';
import { type ChainedRecord, chained, NO_AUDIT_HASH } from '../../src/audit/record/chain.ts';
import { HoldfastError } from '../../src/base/errors.ts';
import type {
  AlertSettings,
  AuditRecord,
  AuditSettings,
  FormerRetention,
  KeptCheckpoint,
  SetAuditSettings,
} from '../../src/proto/audit.ts';
import type { AuditListRequest } from '../../src/proto/auditService.ts';

/** What a record says that says nothing else. */
export const RECORD: AuditRecord = {
  principalKind: 'user',
  principal: 'ada',
  session: '',
  address: '10.0.0.1:9',
  node: '00000000000000aa',
  action: 'kv.put',
  resource: Buffer.from('a'),
  resourceEnd: Buffer.alloc(0),
  result: 'OK',
  requestId: '1.2',
  revision: 3,
  count: 1,
  detail: '',
};
export const FIRST_MS = 1_700_000_000_000;

/** Records in a chain, from 1 on. */
export const chainOf = (...records: readonly Partial<AuditRecord>[]): readonly ChainedRecord[] =>
  chained(
    records.map((record) => ({ ...RECORD, ...record })),
    { sequence: 1, index: 5, timeMs: FIRST_MS, previousHash: NO_AUDIT_HASH },
  );

/** A fake of the audit: records in memory, in small pages. */
export class FakeAudit implements AuditPort {
  chain: readonly ChainedRecord[] = [];
  /** Where the chain begins, when its first records are no longer kept. */
  checkpoint: KeptCheckpoint | null = null;
  kept: AuditSettings = { reads: ['secrets/**'], retentionMs: 0 };
  former: FormerRetention | null = null;
  keptAlerts: AlertSettings = { rules: [], webhook: null };
  pageRecords = 2;
  /** Called before settings are set. */
  beforeSettings: () => void = () => undefined;
  /** Called before each page. */
  beforeList: (request: AuditListRequest) => void = () => undefined;

  list(_caller: Caller, request: AuditListRequest) {
    this.beforeList(request);
    const matches = matching(request);
    const { fromSequence, sinceMs, untilMs } = request;
    if (fromSequence > 0 && fromSequence <= (this.checkpoint?.sequence ?? 0))
      return Promise.reject(new HoldfastError('COMPACTED', 'gone', { field: 'from_sequence' }));
    const left = this.chain.filter(
      ({ sequence, timeMs }) =>
        sequence >= fromSequence && timeMs >= sinceMs && (untilMs === 0 || timeMs < untilMs),
    );
    const page = left.slice(0, this.pageRecords);
    const nextSequence = left[this.pageRecords]?.sequence ?? 0;
    return Promise.resolve({ records: page.filter(matches), nextSequence });
  }

  head(_caller: Caller, { sequence: wanted }: { readonly sequence: number }) {
    const record = wanted === 0 ? this.chain.at(-1) : this.chain.find(({ sequence }) => sequence === wanted);
    if (record === undefined && wanted > 0)
      return Promise.reject(new HoldfastError('NOT_FOUND', `there is no audit record ${wanted}`));
    const { sequence, hash } = record ?? { sequence: 0, hash: NO_AUDIT_HASH };
    return Promise.resolve({ sequence, hash, node: RECORD.node, checkpoint: this.checkpoint });
  }

  settings() {
    return Promise.resolve({ ...this.kept, former: this.former });
  }

  alerts() {
    const head = this.chain.length;
    return Promise.resolve({ settings: this.keptAlerts, evaluated: head, delivered: head, head });
  }

  setAlerts(_caller: Caller, settings: AlertSettings) {
    this.keptAlerts = settings;
    return Promise.resolve();
  }

  setSettings(_caller: Caller, { settings, expected }: SetAuditSettings) {
    this.beforeSettings();
    if (expected && !isDeepStrictEqual({ ...expected }, { ...this.kept }))
      return Promise.reject(new HoldfastError('INVALID_ARGUMENT', 'others', { field: 'expected' }));
    this.kept = settings ?? this.kept;
    return Promise.resolve();
  }
}
