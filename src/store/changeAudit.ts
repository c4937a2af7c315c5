import { unreachable } from '../base/assert.ts';
import type { CommandBody } from '../command/body.ts';
import type { AuditTrail, PruneTime } from './auditTrail.ts';

export type AuditChange = Extract<
  CommandBody,
  { kind: 'noteAudit' | 'setAuditSettings' | 'checkpointAudit' | 'setAlerts' | 'noteAlerts' }
>;

/** Changes how the audit is set, where it begins, and how far alerts are. @throws HoldfastError INVALID_ARGUMENT */
export function changeAudit(audit: AuditTrail, body: AuditChange, at: PruneTime): void {
  switch (body.kind) {
    case 'noteAudit':
      // Its records are added with those of every command.
      return undefined;
    case 'setAuditSettings':
      return audit.rules.set(body, at);
    case 'checkpointAudit':
      return audit.prune(body.checkpoint, at);
    case 'setAlerts':
      return audit.rules.setAlerts(body.alerts, { place: at.place, sequence: audit.head.sequence });
    case 'noteAlerts':
      return audit.rules.noteAlerts(body.note, { place: at.place, sequence: audit.head.sequence });
    default:
      return unreachable(body, 'change of the audit');
  }
}
