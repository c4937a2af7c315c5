import { hash } from 'node:crypto';
import { LIMITS } from '../base/limits.ts';
import type { AlertSettings, AlertWebhook } from '../proto/audit.ts';
import type { Policy } from '../proto/storage.ts';

/** Hex digits of a SHA-256 that tell two texts apart for a reader. */
const DIGEST_DIGITS = 16;

/**
 * What the record of a policy says of it: how many rules, which text, and what may be administered with it. docs/formats.md says over
 * what the hash is.
 */
export function policyText({ role, rules, admin }: Policy): string {
  const plain = { role, rules: rules.map(({ path, capabilities }) => ({ path, capabilities })), admin };
  // Each area once: a list that repeats one must not push another past the cut.
  const areas = [...new Set(admin)].join(' ') || 'nothing';
  return cut(`${counted(rules.length)}, ${digestOf(plain)}, administers ${areas}`);
}

/**
 * What the record of alert rules says of them: how many, which text, where alerts go, and their names. A rule may be changed under its
 * name, so the names alone say little. Never the secret, and of the address no more than the host.
 */
export function alertsText({ rules, webhook }: AlertSettings): string {
  const plain = {
    rules: rules.map((rule) => ({
      name: rule.name,
      kind: rule.kind,
      resource: rule.resource,
      fromMinute: rule.fromMinute,
      toMinute: rule.toMinute,
      days: rule.days,
      timeZone: rule.timeZone,
      by: rule.by,
      count: rule.count,
      withinMs: rule.withinMs,
    })),
    webhook: webhook?.url ?? null,
  };
  const names = rules.map(({ name }) => ` ${name}`).join('');
  return cut(`${counted(rules.length)}, ${digestOf(plain)}, ${webhookText(webhook)}${names && `:${names}`}`);
}

/** With another secret the receiver takes no alert any more: that one was given is said. */
function webhookText(webhook: AlertWebhook | null | undefined): string {
  if (!webhook) return 'no webhook';
  const secret = webhook.secret.length === 0 ? 'secret kept' : 'secret given';
  return `webhook ${hostOfUrl(webhook.url)} (${secret})`;
}

/** With its port. By hand: what a URL parser makes of a name differs between releases of Node.js, and this is in the state of all. */
function hostOfUrl(url: string): string {
  const [, authority = ''] = /^https?:[/\\]*([^/\\?#]*)/i.exec(url) ?? [];
  return authority.slice(authority.lastIndexOf('@') + 1).slice(0, LIMITS.auditHostCharactersMax);
}

const counted = (rules: number): string => (rules === 1 ? '1 rule' : `${rules} rules`);

const digestOf = (value: unknown): string =>
  `sha256:${hash('sha256', JSON.stringify(value), 'hex').slice(0, DIGEST_DIGITS)}`;

/** Of ASCII: a cut then takes no character apart, and a host does not pass for another one by letters that look alike. */
const cut = (text: string): string =>
  text.replaceAll(/[^\x20-\x7e]/gu, '?').slice(0, LIMITS.auditTextBytesMax);
