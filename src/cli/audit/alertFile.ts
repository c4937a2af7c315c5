import { readFileSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { z } from 'zod';
import { unreachable } from '../../base/assert.ts';
import { parseDurationMs } from '../../base/duration.ts';
import { HoldfastError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import type { AlertRule, AlertSettings } from '../../client/index.ts';
import { readYamlFile } from '../yamlFile.ts';

const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'] as const;
const ALL_DAYS = 0x7f;
const HOUR_MINUTES = 60;

const duration = z.string().transform((text, context) => {
  const ms = parseDurationMs(text);
  if (ms !== null) return ms;
  context.addIssue({ code: 'custom', message: `${text} is no duration: write 30s, 10m or 2h` });
  return z.NEVER;
});

/** `08:00-18:00`, in minutes of the day. */
const hours = z.string().transform((text, context) => {
  const match = /^([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-4]):([0-5][0-9])$/.exec(text);
  const [from, fromMinutes, to, toMinutes] = (match ?? []).slice(1).map(Number);
  if (from !== undefined && fromMinutes !== undefined && to !== undefined && toMinutes !== undefined)
    return { fromMinute: from * HOUR_MINUTES + fromMinutes, toMinute: to * HOUR_MINUTES + toMinutes };
  context.addIssue({ code: 'custom', message: `${text} are no hours: write 08:00-18:00` });
  return z.NEVER;
});

const RULES = z.discriminatedUnion('kind', [
  z.strictObject({
    name: z.string(),
    kind: z.literal('reads-outside-hours'),
    resource: z.string(),
    hours,
    days: z.array(z.enum(DAYS)).default([...DAYS]),
    time_zone: z.string(),
  }),
  z.strictObject({
    name: z.string(),
    kind: z.literal('many-readers'),
    resource: z.string(),
    count: z.int(),
    within: duration,
  }),
  z.strictObject({
    name: z.string(),
    kind: z.literal('denials'),
    by: z.enum(['principal', 'address']),
    count: z.int(),
    within: duration,
  }),
  z.strictObject({ name: z.string(), kind: z.literal('token-address') }),
  z.strictObject({ name: z.string(), kind: z.literal('break-glass') }),
]);
const FILE = z.strictObject({
  rules: z.array(RULES).default([]),
  webhook: z.strictObject({ url: z.string(), secret_file: z.string().optional() }).nullish(),
});

const NO_RULE = {
  resource: '',
  fromMinute: 0,
  toMinute: 0,
  days: 0,
  timeZone: '',
  by: '',
  count: 0,
  withinMs: 0,
};

/**
 * The alert rules of a YAML file. The secret of the webhook is in a file of its own; without one, the cluster keeps that which it has.
 * @throws HoldfastError FILE_UNREADABLE, TOO_LARGE, INVALID_ARGUMENT naming the line or the field
 */
export function readAlertFile(path: string): AlertSettings {
  const { rules, webhook } = readYamlFile(path, {
    shape: FILE,
    what: 'a file of alert rules',
    hint: 'it has rules (each with name and kind) and webhook, and nothing else',
  });
  if (!webhook) return { rules: rules.map(ruleOf), webhook: null };
  const { url, secret_file: file } = webhook;
  const secret = file === undefined ? Buffer.alloc(0) : secretIn(resolve(dirname(path), file));
  return { rules: rules.map(ruleOf), webhook: { url, secret } };
}

function ruleOf(rule: z.output<typeof RULES>): AlertRule {
  const { name, kind } = rule;
  const named = { ...NO_RULE, name, kind };
  switch (rule.kind) {
    case 'reads-outside-hours': {
      const days = rule.days.reduce((bits, day) => bits | (1 << DAYS.indexOf(day)), 0);
      return { ...named, resource: rule.resource, ...rule.hours, days, timeZone: rule.time_zone };
    }
    case 'many-readers':
      return { ...named, resource: rule.resource, count: rule.count, withinMs: rule.within };
    case 'denials':
      return { ...named, by: rule.by, count: rule.count, withinMs: rule.within };
    case 'token-address':
    case 'break-glass':
      return named;
    default:
      return unreachable(rule, 'alert rule');
  }
}

/** Without the end of its line. @throws HoldfastError FILE_UNREADABLE, TOO_LARGE */
function secretIn(path: string): Buffer {
  try {
    if (statSync(path).size > LIMITS.alertSecretBytesMax + 2)
      throw new HoldfastError('TOO_LARGE', `${path} is longer than a secret may be`, {
        field: 'webhook.secret_file',
      });
    return Buffer.from(readFileSync(path, 'utf8').replace(/\r?\n$/, ''), 'utf8');
  } catch (cause) {
    if (cause instanceof HoldfastError) throw cause;
    throw new HoldfastError('FILE_UNREADABLE', `the file of the webhook's secret ${path} cannot be read`, {
      field: 'webhook.secret_file',
      hint: 'name a file with the secret in its only line',
      cause,
    });
  }
}

/** The same as it would be written, without the secret. */
export function alertFileText({ rules, webhook }: AlertSettings): string {
  const lines = rules.flatMap((rule) => {
    const fields: readonly (readonly [string, string])[] = [
      ['name', rule.name],
      ['kind', rule.kind],
      ['resource', rule.resource === '' ? '' : JSON.stringify(rule.resource)],
      ['hours', rule.fromMinute === rule.toMinute ? '' : `"${time(rule.fromMinute)}-${time(rule.toMinute)}"`],
      ['days', rule.days === 0 || rule.days === ALL_DAYS ? '' : `[${daysOf(rule.days).join(', ')}]`],
      ['time_zone', rule.timeZone],
      ['by', rule.by],
      ['count', rule.count === 0 ? '' : String(rule.count)],
      ['within', rule.withinMs === 0 ? '' : durationText(rule.withinMs)],
    ];
    const given = fields.filter(([, value]) => value !== '');
    return given.map(([field, value], at) => `  ${at === 0 ? '-' : ' '} ${field}: ${value}`);
  });
  const head = lines.length === 0 ? ['rules: []'] : ['rules:', ...lines];
  return [...head, ...(webhook ? ['webhook:', `  url: ${JSON.stringify(webhook.url)}`] : [])].join('\n');
}

const daysOf = (days: number): readonly string[] => DAYS.filter((_, at) => (days & (1 << at)) !== 0);

const two = (count: number): string => String(count).padStart(2, '0');
const time = (minute: number): string =>
  `${two(Math.floor(minute / HOUR_MINUTES))}:${two(minute % HOUR_MINUTES)}`;

function durationText(ms: number): string {
  for (const [unitMs, unit] of [
    [86_400_000, 'd'],
    [3_600_000, 'h'],
    [60_000, 'm'],
    [1_000, 's'],
  ] as const)
    if (ms % unitMs === 0) return `${ms / unitMs}${unit}`;
  return `${ms}ms`;
}
