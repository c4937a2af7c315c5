/** The methods of holdfast.v1.Audit, all unary. */
import type { UntypedServiceImplementation } from '@grpc/grpc-js';
import { LIMITS } from '../base/limits.ts';
import { checkAlerts } from '../command/checkAlerts.ts';
import { checkAuditSettings } from '../command/checkAudit.ts';
import { checkCount, invalid } from '../command/checkKeys.ts';
import type { AlertSettings, SetAuditSettings } from '../proto/audit.ts';
import type { AuditHeadRequest, AuditListRequest } from '../proto/auditService.ts';

import type { AuditPort } from './ports.ts';
import { refuse } from './refuse.ts';
import { type HandlerContext, unary } from './unary.ts';

export function auditMethods(context: HandlerContext, port: AuditPort): UntypedServiceImplementation {
  return {
    list: unary(context, async (caller, request: AuditListRequest) => {
      checkList(request);
      return port.list(caller, request);
    }),
    head: unary(context, async (caller, request: AuditHeadRequest) => {
      refuse(checkCount(request.sequence, 'sequence'));
      return port.head(caller, request);
    }),
    getSettings: unary(context, (caller) => port.settings(caller)),
    setSettings: unary(context, async (caller, request: SetAuditSettings) => {
      refuse(request.settings ? checkAuditSettings(request.settings) : invalid('settings', 'is missing'));
      await port.setSettings(caller, request);
      return {};
    }),
    getAlerts: unary(context, (caller) => port.alerts(caller)),
    setAlerts: unary(context, async (caller, settings: AlertSettings) => {
      refuse(checkAlerts(settings));
      await port.setAlerts(caller, settings);
      return {};
    }),
  };
}

function checkList(request: AuditListRequest): void {
  const { fromSequence, sinceMs, untilMs, limit, principal, action, resource, result } = request;
  refuse(
    checkCount(fromSequence, 'from_sequence') ??
      checkCount(sinceMs, 'since_ms') ??
      checkCount(untilMs, 'until_ms'),
  );
  if (limit > LIMITS.auditPageRecordsMax)
    throw invalid('limit', `must be at most ${LIMITS.auditPageRecordsMax}`, 'Ask page by page.');
  for (const [field, text] of Object.entries({ principal, action, result, resource })) {
    const most = field === 'resource' ? LIMITS.keyBytesMax : LIMITS.auditTextBytesMax;
    if (Buffer.byteLength(text) > most) throw invalid(field, `must have at most ${most} bytes`);
  }
}
