/** Which audit records somebody asks for. */
import { overlap } from '../access/policy/nameRange.ts';
import { parsePathPattern } from '../access/policy/pathPattern.ts';
import { rangeOf } from '../access/policy/rights.ts';
import { RuleTree } from '../access/policy/ruleTree.ts';
import { asBuffer } from '../base/bytes.ts';
import type { AuditRecord } from '../proto/audit.ts';
import { DENIALS, isAlert, UNDELIVERED_ACTION } from './record/actions.ts';
import { isWithoutEnd } from './record/rangeEnd.ts';

export interface AuditQuery {
  /** Empty, here and below: whichever. */
  readonly principal: string;
  /** An action, or "alerts": whatever is one, and those that were not delivered. */
  readonly action: string;
  /** A pattern of names as in policies. */
  readonly resource: string;
  /** "OK", "denied", "failed" (whatever is not OK), or a code. */
  readonly result: string;
}

export const ALERTS = 'alerts';

export type Matches = (record: AuditRecord) => boolean;

/**
 * A record of a range of names matches a pattern when they may have a name in common, judged by what the pattern says before its
 * first `*`: better one too many than one too few.
 * @throws HoldfastError INVALID_ARGUMENT for a pattern that is none
 */
export function matching({ principal, action, resource, result }: AuditQuery): Matches {
  const isResource = resource === '' ? () => true : resourceMatches(resource);
  return (record) =>
    (principal === '' || record.principal === principal) &&
    actionMatches(record, action) &&
    resultMatches(record, result) &&
    isResource(record);
}

function actionMatches(record: AuditRecord, action: string): boolean {
  if (action === ALERTS) return isAlert(record) || record.action === UNDELIVERED_ACTION;
  return action === '' || record.action === action;
}

function resultMatches(record: AuditRecord, result: string): boolean {
  if (result === '') return true;
  if (result === 'denied') return DENIALS.has(record.result);
  return result === 'failed' ? record.result !== 'OK' : record.result === result;
}

function resourceMatches(text: string): Matches {
  const pattern = parsePathPattern(text, 'resource');
  const rules = [{ pattern, capabilities: new Set<never>() }];
  const tree = new RuleTree([{ policy: 'query', rules }]);
  const within = rangeOf(pattern);
  return ({ resource, resourceEnd }) => {
    const start = asBuffer(resource).toString('latin1');
    if (resourceEnd.length === 0) return tree.decisive(start) !== null;
    return overlap(within, {
      start,
      end: isWithoutEnd(resourceEnd) ? '' : asBuffer(resourceEnd).toString('latin1'),
    });
  };
}
