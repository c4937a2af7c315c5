/** Checks of alert rules, whatever the state is. Whether a machine knows a time zone is asked where the rules are given. */
import { ALERT_KINDS, ALERT_SUBJECTS, isAlertKind, usesField } from '../audit/record/alertKinds.ts';
import { LIMITS } from '../base/limits.ts';
import type { AlertCursor, AlertRule, AlertSettings, AlertWebhook, NoteAlerts } from '../proto/audit.ts';
import { checkNotes } from './checkAudit.ts';
import { checkCount, invalid, type Reason, tooLarge } from './checkKeys.ts';

const NAME_PATTERN = /^[a-z0-9][a-z0-9-]{0,62}$/;
const ZONE_PATTERN = /^[A-Za-z0-9_+-]{1,32}(\/[A-Za-z0-9_+-]{1,32}){0,2}$/;
const URL_PATTERN = /^https?:\/\/[^\s@]+$/;
const DAY_MINUTES = 24 * 60;
const ALL_DAYS = 0x7f;

export function checkAlerts({ rules, webhook }: AlertSettings): Reason {
  if (rules.length > LIMITS.alertRulesMax) return invalid('rules', `must be at most ${LIMITS.alertRulesMax}`);
  const names = new Set<string>();
  for (const [at, rule] of rules.entries()) {
    if (names.has(rule.name)) return invalid(`rules[${at}].name`, `is that of an earlier rule`);
    names.add(rule.name);
    const reason = checkRule(rule, `rules[${at}]`);
    if (reason !== null) return reason;
  }
  return webhook ? checkWebhook(webhook) : null;
}

function checkRule(rule: AlertRule, place: string): Reason {
  const { name, kind, count, withinMs, by, resource } = rule;
  if (!NAME_PATTERN.test(name))
    return invalid(`${place}.name`, 'must have 1 to 63 characters of a-z 0-9 -, the first a letter or digit');
  if (!isAlertKind(kind))
    return invalid(`${place}.kind`, `must be one of ${Object.keys(ALERT_KINDS).join(', ')}`);
  if (usesField(kind, 'resource') && resource === '')
    return invalid(`${place}.resource`, 'is missing', 'Give a pattern of names, for example secrets/**.');
  if (Buffer.byteLength(resource) > LIMITS.keyBytesMax)
    return tooLarge(`${place}.resource`, { bytes: Buffer.byteLength(resource), most: LIMITS.keyBytesMax });
  if (usesField(kind, 'by') && !ALERT_SUBJECTS.some((subject) => subject === by))
    return invalid(`${place}.by`, `must be one of ${ALERT_SUBJECTS.join(', ')}`);
  if (usesField(kind, 'count') && (count < 2 || count > LIMITS.alertCountMax))
    return invalid(`${place}.count`, `must be 2 to ${LIMITS.alertCountMax}`);
  if (usesField(kind, 'within') && (withinMs < 1_000 || withinMs > LIMITS.alertWithinMsMax))
    return invalid(`${place}.within`, `must be 1 s to ${LIMITS.alertWithinMsMax / 3_600_000} h`);
  return (
    (usesField(kind, 'hours') ? checkHours(rule, place) : null) ??
    checkCount(count, `${place}.count`) ??
    checkCount(withinMs, `${place}.within`)
  );
}

function checkHours({ fromMinute, toMinute, days, timeZone }: AlertRule, place: string): Reason {
  if (fromMinute >= DAY_MINUTES || toMinute > DAY_MINUTES || fromMinute === toMinute)
    return invalid(`${place}.hours`, 'must be two different times of a day', 'For example 08:00-18:00.');
  if (days === 0 || days > ALL_DAYS) return invalid(`${place}.days`, 'must name a day at least');
  return ZONE_PATTERN.test(timeZone)
    ? null
    : invalid(`${place}.time_zone`, 'must be a time zone', 'For example Europe/Berlin or UTC.');
}

function checkWebhook({ url, secret }: AlertWebhook): Reason {
  const bytes = Buffer.byteLength(url);
  if (bytes > LIMITS.alertUrlBytesMax)
    return tooLarge('webhook.url', { bytes, most: LIMITS.alertUrlBytesMax });
  if (!URL_PATTERN.test(url) || !URL.canParse(url))
    return invalid('webhook.url', 'must be http:// or https:// and name no user', 'The secret signs.');
  // Empty: the one that there is.
  const isKept = secret.length === 0;
  if ((!isKept && secret.length < LIMITS.alertSecretBytesMin) || secret.length > LIMITS.alertSecretBytesMax)
    return invalid(
      'webhook.secret',
      `must have ${LIMITS.alertSecretBytesMin} to ${LIMITS.alertSecretBytesMax} bytes`,
    );
  return null;
}

export function checkNoteAlerts({ before, after, alerts }: NoteAlerts): Reason {
  if (!before || !after) return invalid('cursor', 'is missing');
  if (after.evaluated < before.evaluated || after.delivered < before.delivered)
    return invalid('cursor', 'goes back');
  return (
    checkCursor(before) ?? checkCursor(after) ?? (alerts.length === 0 ? null : checkNotes(alerts, 'alerts'))
  );
}

const checkCursor = ({ evaluated, delivered }: AlertCursor): Reason =>
  checkCount(evaluated, 'evaluated') ?? checkCount(delivered, 'delivered');
