import { hash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/base/limits.ts';
import type { AlertRule, AlertSettings, NoteAlerts } from '../../src/proto/audit.ts';
import { RECORD } from '../api/fakeAudit.ts';
import { codeOf, command, NODE, put, StoreRig, sealerOf } from './storeRig.ts';

const RULE: AlertRule = {
  name: 'night',
  kind: 'reads-outside-hours',
  resource: 'secrets/**',
  fromMinute: 480,
  toMinute: 1080,
  days: 62,
  timeZone: 'Europe/Berlin',
  by: '',
  count: 0,
  withinMs: 0,
};
const READERS: AlertRule = { ...RULE, name: 'many', kind: 'many-readers', count: 2, withinMs: 1_000 };
const DENIALS: AlertRule = { ...READERS, name: 'denied', kind: 'denials', by: 'address' };
const WEBHOOK = { url: 'https://hooks.example/x', secret: Buffer.from('0123456789abcdef') };

let rig: StoreRig;
beforeEach(async () => {
  rig = await StoreRig.create();
});
afterEach(() => rig.destroy());

const set = (settings: AlertSettings) => rig.apply(command({ setAlerts: { settings } })).map(codeOf)[0];
const note = (fields: NoteAlerts) => rig.apply(command({ noteAlerts: fields }, NODE)).map(codeOf)[0];

describe('alert settings', () => {
  it('are kept, with every field, and are in the state of all', async () => {
    const settings = { rules: [RULE, READERS, DENIALS], webhook: WEBHOOK };
    expect(set(settings)).toBe('none');
    const { digest } = rig.store;
    await rig.reopen();
    expect(rig.store.audit.rules.alerts).toEqual(settings);
    expect(rig.store.digest).toEqual(digest);
    expect(await rig.deeds()).toEqual(['audit.alerts ']);
  });

  /** What the records of the settings say, one after the other. */
  const details = async () => (await rig.auditRecords()).map(({ detail }) => detail);

  it('leave a record of how many rules there are, where alerts go, and which text it was', async () => {
    set({ rules: [RULE, READERS, DENIALS], webhook: WEBHOOK });
    set({ rules: [RULE], webhook: null });
    set({ rules: [], webhook: null });
    const plain = JSON.stringify({ rules: [RULE, READERS, DENIALS], webhook: WEBHOOK.url });
    const digest = hash('sha256', plain, 'hex').slice(0, 16);
    expect(await details()).toEqual([
      `3 rules, sha256:${digest}, webhook hooks.example (secret given): night many denied`,
      expect.stringMatching(/^1 rule, sha256:[0-9a-f]{16}, no webhook: night$/),
      expect.stringMatching(/^0 rules, sha256:[0-9a-f]{16}, no webhook$/),
    ]);
  });

  it('leave another record when a rule is changed under its name, or alerts go to another path', async () => {
    const url = 'https://hooks.example:8443/path-of-it?query-of-it';
    const later = { ...RULE, toMinute: 1439 };
    set({ rules: [RULE], webhook: WEBHOOK });
    set({ rules: [later], webhook: { ...WEBHOOK, secret: Buffer.alloc(0) } });
    set({ rules: [later], webhook: { ...WEBHOOK, url } });
    const said = await details();
    expect(new Set(said.map((detail) => /sha256:\S+/.exec(detail)?.[0])).size).toBe(3);
    expect(said[1]).toContain('webhook hooks.example (secret kept): night');
    expect(said[2]).toContain('webhook hooks.example:8443 (secret given): night');
    for (const hidden of ['path-of-it', 'query-of-it', WEBHOOK.secret.toString()])
      expect(said.join()).not.toContain(hidden);
  });

  it.each([
    ['https:///\\hooks.example\\path', 'hooks.example'],
    ['http://[::1]:80?x', '[::1]:80'],
    ['https://hooks.ex\u0430mple/\u{1f600}', 'hooks.ex?mple'],
    [`https://${'a'.repeat(63)}.${'\u{1f600}'.repeat(60)}/`, `${'a'.repeat(63)}.${'?'.repeat(60)}`],
  ])('leave a record that names the host of %s alone', async (url, host) => {
    expect(set({ rules: [], webhook: { ...WEBHOOK, url } })).toBe('none');
    const [said = ''] = await details();
    expect(said).toContain(`, webhook ${host} (secret given)`);
    await rig.reopen();
    expect(await details()).toEqual([said]);
  });

  it('leave a record that is cut, with what matters first', async () => {
    const rules = Array.from({ length: LIMITS.alertRulesMax }, (_, at) => ({
      ...RULE,
      name: `${at}`.padStart(63, 'a'),
    }));
    expect(set({ rules, webhook: WEBHOOK })).toBe('none');
    const [said = ''] = await details();
    expect(said).toHaveLength(LIMITS.auditTextBytesMax);
    expect(said).toMatch(/^64 rules, sha256:[0-9a-f]{16}, webhook hooks\.example /);
  });

  it('are never readable on disk, since they hold a secret', async () => {
    const off = await StoreRig.create({ sealer: sealerOf('off') });
    off.apply(command({ setAlerts: { settings: { rules: [RULE], webhook: WEBHOOK } } }));
    off.run(put('readable'));
    await off.store.flushed();
    await off.store.close();
    const files = readdirSync(off.directory, { recursive: true, withFileTypes: true });
    const bytes = files
      .filter((file) => file.isFile())
      .map((file) => readFileSync(join(file.parentPath, file.name), 'latin1'))
      .join();
    expect(bytes).toContain('readable');
    expect(bytes).not.toContain(WEBHOOK.secret.toString());
    await off.destroy();
  });

  it('keep the secret for the same address, and for no other', () => {
    set({ rules: [], webhook: WEBHOOK });
    expect(set({ rules: [RULE], webhook: { ...WEBHOOK, secret: Buffer.alloc(0) } })).toBe('none');
    expect(rig.store.audit.rules.alerts.webhook).toEqual(WEBHOOK);
    const elsewhere = { url: 'https://other.example/', secret: Buffer.alloc(0) };
    expect(set({ rules: [], webhook: elsewhere })).toBe('INVALID_ARGUMENT');
    expect(rig.store.audit.rules.alerts.webhook).toEqual(WEBHOOK);
    expect(set({ rules: [], webhook: null })).toBe('none');
    expect(set({ rules: [], webhook: { ...WEBHOOK, secret: Buffer.alloc(0) } })).toBe('INVALID_ARGUMENT');
  });

  it.each<[string, Partial<AlertRule>]>([
    ['a name that is none', { name: 'A b' }],
    ['a kind that is none', { kind: 'x' }],
    ['the name of a property', { kind: '__proto__' }],
    ['no resource', { resource: '' }],
    ['a pattern that is none', { resource: 'a/**/b' }],
    ['a long pattern', { resource: 'x'.repeat(LIMITS.keyBytesMax + 1) }],
    ['hours without a length', { fromMinute: 5, toMinute: 5 }],
    ['hours beyond the day', { toMinute: 1441 }],
    ['no day', { days: 0 }],
    ['an eighth day', { days: 128 }],
    ['no time zone', { timeZone: '' }],
    ['one reader', { ...READERS, count: 1 }],
    ['more than are counted', { ...READERS, count: LIMITS.alertCountMax + 1 }],
    ['no time', { ...READERS, withinMs: 999 }],
    ['too long a time', { ...READERS, withinMs: LIMITS.alertWithinMsMax + 1 }],
    ['denials by nobody', { ...DENIALS, by: 'node' }],
  ])('are refused with %s', (_what, change) => {
    expect(set({ rules: [{ ...RULE, ...change }], webhook: null })).toMatch(/INVALID_ARGUMENT|TOO_LARGE/);
    expect(rig.store.audit.rules.alerts.rules).toEqual([]);
  });

  it.each([
    ['ftp', 'ftp://h/'],
    ['a user', 'https://user:pw@h/'],
    ['a space', 'https://h/ x'],
    ['no host', 'https://'],
    ['a long address', `https://h/${'x'.repeat(LIMITS.alertUrlBytesMax)}`],
  ])('are refused with a webhook with %s', (_what, url) => {
    expect(set({ rules: [], webhook: { ...WEBHOOK, url } })).toMatch(/INVALID_ARGUMENT|TOO_LARGE/);
  });

  it('are refused with two rules of one name, with too many, and with a short secret', () => {
    expect(set({ rules: [RULE, { ...READERS, name: RULE.name }], webhook: null })).toBe('INVALID_ARGUMENT');
    const rules = Array.from({ length: LIMITS.alertRulesMax + 1 }, (_, at) => ({ ...RULE, name: `r${at}` }));
    expect(set({ rules, webhook: null })).toBe('INVALID_ARGUMENT');
    expect(set({ rules: rules.slice(1), webhook: null })).toBe('none');
    expect(set({ rules: [], webhook: { ...WEBHOOK, secret: Buffer.alloc(15, 1) } })).toBe('INVALID_ARGUMENT');
  });
});

describe('the cursor of alerts', () => {
  const alert = { ...RECORD, action: 'alert.raised' };
  const START = { evaluated: 2, delivered: 2 };
  beforeEach(() => {
    rig.run(put('a'));
    rig.run(put('a'));
    set({ rules: [RULE], webhook: WEBHOOK });
  });

  it('begins where the rules do', () => {
    expect(rig.store.audit.rules.alertCursor).toEqual(START);
  });

  it('moves once from where it is, with what was found', async () => {
    const after = { evaluated: 3, delivered: 2 };
    expect(note({ before: START, after, alerts: [alert] })).toBe('none');
    expect(note({ before: START, after, alerts: [alert] })).toBe('INVALID_ARGUMENT');
    expect((await rig.deeds()).filter((deed) => deed.startsWith('alert'))).toEqual(['alert.raised a']);
    await rig.reopen();
    expect(rig.store.audit.rules.alertCursor).toEqual(after);
  });

  it.each<[string, Partial<NoteAlerts>]>([
    ['back', { after: { evaluated: 1, delivered: 2 } }],
    ['beyond what is recorded', { after: { evaluated: 4, delivered: 2 } }],
    ['beyond what is recorded, of what was delivered', { after: { evaluated: 3, delivered: 4 } }],
    ['from elsewhere', { before: { evaluated: 1, delivered: 2 } }],
    ['from nowhere', { before: null }],
    ['nowhere', { after: null }],
    ['with an action that there is not', { alerts: [{ ...alert, action: 'x' }] }],
    ['with too many alerts', { alerts: Array.from({ length: LIMITS.auditNotesMax + 1 }, () => alert) }],
  ])('does not move %s', async (_what, change) => {
    const fields = { before: START, after: { evaluated: 3, delivered: 2 }, alerts: [alert], ...change };
    expect(note(fields)).toBe('INVALID_ARGUMENT');
    expect(rig.store.audit.rules.alertCursor).toEqual(START);
    expect((await rig.deeds()).some((deed) => deed.startsWith('alert'))).toBe(false);
  });

  it('is moved by nodes only', async () => {
    const fields = { before: START, after: { evaluated: 3, delivered: 2 }, alerts: [alert] };
    expect(rig.apply(command({ noteAlerts: fields })).map(codeOf)).toEqual(['PERMISSION_DENIED']);
    expect(rig.store.audit.rules.alertCursor).toEqual(START);
    expect((await rig.deeds()).at(-1)).toBe('access.denied  PERMISSION_DENIED');
  });
});
