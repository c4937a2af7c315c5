import type { Command } from 'commander';
import { AUDIT_ACTIONS } from '../../audit/record/actions.ts';
import { systemClock } from '../../base/clock.ts';
import { parseDurationMs } from '../../base/duration.ts';
import { ERROR_CODES, HoldfastError } from '../../base/errors.ts';
import type { AuditListOptions } from '../../client/index.ts';

/** What is typed to say which records. */
export interface SelectionOptions {
  readonly since?: string;
  readonly until?: string;
  readonly user?: string;
  readonly action?: string;
  readonly resource?: string;
  readonly result?: string;
}

export function addSelection(command: Command): Command {
  return command
    .option('--since <when>', 'not before: 30m, 12h, 30d ago, or 2026-01-31T12:00:00Z')
    .option('--until <when>', 'before')
    .option('--user <name>', 'who asked: the name of a user or a certificate, or the id of a token')
    .option('--action <action>', 'what was done, e.g. kv.put')
    .option('--resource <pattern>', "to which names: 'prod/**', or one name")
    .option('--result <result>', 'ok, denied, failed, or an error code');
}

const RESULTS: ReadonlyMap<string, string> = new Map([
  ['ok', 'OK'],
  ['OK', 'OK'],
  ['denied', 'denied'],
  ['failed', 'failed'],
]);

/** @throws HoldfastError USAGE */
export function selectionOf(options: SelectionOptions): AuditListOptions {
  const { since, until, user, action, resource, result } = options;
  if (action !== undefined && !AUDIT_ACTIONS.some((known) => known === action)) {
    throw new HoldfastError('USAGE', `--action ${action} is none that there is`, {
      field: 'action',
      hint: `any of ${AUDIT_ACTIONS.join(', ')}`,
    });
  }
  const isResult = result === undefined || RESULTS.has(result) || Object.hasOwn(ERROR_CODES, result);
  if (!isResult) {
    throw new HoldfastError('USAGE', `--result ${result} is none that there is`, {
      field: 'result',
      hint: 'ok, denied, failed, or an error code such as PERMISSION_DENIED',
    });
  }
  return {
    ...(since === undefined ? {} : { sinceMs: timeOf(since, '--since') }),
    ...(until === undefined ? {} : { untilMs: timeOf(until, '--until') }),
    ...(user === undefined ? {} : { principal: user }),
    ...(action === undefined ? {} : { action }),
    ...(resource === undefined ? {} : { resource }),
    ...(result === undefined ? {} : { result: RESULTS.get(result) ?? result }),
  };
}

/** Whether it leaves out records between others. */
export function isFiltered({ principal, action, resource, result }: AuditListOptions): boolean {
  return [principal, action, resource, result].some((filter) => filter !== undefined);
}

function timeOf(text: string, option: string): number {
  const agoMs = parseDurationMs(text);
  if (agoMs !== null) return Math.max(0, systemClock.wallMs() - agoMs);
  const ms = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isSafeInteger(ms) && ms >= 0) return ms;
  throw new HoldfastError('USAGE', `${option} ${text} is no time`, {
    field: option,
    hint: 'write 30m, 12h or 30d for so long ago, or a time like 2026-01-31T12:00:00Z',
  });
}
