import type { AuditAction } from '../audit/record/actions.ts';
import type { AuditRecord } from '../proto/audit.ts';
import type { Principal } from '../proto/storage.ts';
import { outcomeFailure } from './outcome.ts';
import type { Submit } from './submit.ts';

const NOTHING = Buffer.alloc(0);

/** What a node tells the audit of somebody who has asked it for something, and may. */
export function askedRecord(
  { kind, name, address, session = '' }: Principal,
  {
    action,
    resource,
    detail,
  }: { readonly action: AuditAction; readonly resource: string; readonly detail: string },
): AuditRecord {
  return {
    principalKind: kind,
    principal: name,
    session,
    address,
    node: '',
    action,
    resource: Buffer.from(resource, 'utf8'),
    resourceEnd: NOTHING,
    result: 'OK',
    requestId: '',
    revision: 0,
    count: 1,
    detail,
  };
}

/**
 * Resolves once the record stands in the log; what it tells of is done only then.
 * @throws HoldfastError when it is not known to stand
 */
export async function noteAsked(
  { submit, nodeId }: { readonly submit: Pick<Submit, 'submit'>; readonly nodeId: string },
  record: AuditRecord,
  deadlineMs: number,
): Promise<void> {
  const principal = { kind: 'node', name: nodeId, address: '' };
  const outcome = await submit.submit({ principal, noteAudit: { records: [record] } }, deadlineMs);
  const failure = outcomeFailure(outcome);
  if (failure !== null) throw failure;
}
