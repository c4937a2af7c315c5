import type { AuditAction } from '../audit/record/actions.ts';
import type { AuditRecord } from '../proto/audit.ts';
import type { Principal } from '../proto/storage.ts';

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
