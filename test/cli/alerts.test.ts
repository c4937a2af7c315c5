import { writeFileSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { chainOf } from '../api/fakeAudit.ts';
import { CliRig } from './rig.ts';

let rig: CliRig;
beforeAll(async () => {
  rig = await CliRig.create();
});
afterAll(() => rig.close());
beforeEach(() => {
  rig.node.audit.keptAlerts = { rules: [], webhook: null };
});

async function audit(...words: string[]) {
  const { status, stdout, stderr } = await rig.cli(['audit', ...words]);
  return { status, out: stdout.toString(), stderr };
}
function fileOf(text: string): string {
  const path = rig.path('alerts.yaml');
  writeFileSync(path, text);
  return path;
}

const RULES = `rules:
  - name: at-night
    kind: reads-outside-hours
    resource: "secrets/**"
    hours: "08:00-18:30"
    days: [mon, tue, wed, thu, fri]
    time_zone: Europe/Berlin
  - name: one-secret-many-readers
    kind: many-readers
    resource: "secrets/**"
    count: 5
    within: 10m
  - name: guessing
    kind: denials
    by: address
    count: 20
    within: 1h
  - name: elsewhere
    kind: token-address
  - name: glass
    kind: break-glass
webhook:
  url: "https://hooks.example/holdfast"`;

it('alerts are the records of that action', async () => {
  rig.node.audit.chain = chainOf(
    {},
    { action: 'alert.raised', detail: 'guessing: 20 denials, record 1', principal: 'eve' },
  );
  const { out, stderr } = await audit('alerts');
  expect(out).toContain('user eve  alert.raised  a  OK  10.0.0.1:9  (guessing: 20 denials, record 1)');
  expect(out.trim().split('\n')).toHaveLength(1);
  expect(stderr).toContain('1 alerts');
});

describe('rules', () => {
  it('come out as they went in, but for the secret', async () => {
    writeFileSync(rig.path('secret'), '0123456789abcdef\n');
    const file = fileOf(`${RULES}\n  secret_file: secret\n`);
    expect(await audit('rules', 'validate', file)).toMatchObject({ status: 0, out: `${file}: 5 rules\n` });
    expect(await audit('rules', 'put', file)).toMatchObject({ status: 0, out: '5 rules are in force\n' });
    const { rules, webhook } = rig.node.audit.keptAlerts;
    expect(webhook?.secret.toString()).toBe('0123456789abcdef');
    expect(
      rules.map(({ fromMinute, toMinute, days, count, withinMs }) => [
        fromMinute,
        toMinute,
        days,
        count,
        withinMs,
      ]),
    ).toEqual([
      [480, 1_110, 62, 0, 0],
      [0, 0, 0, 5, 600_000],
      [0, 0, 0, 20, 3_600_000],
      [0, 0, 0, 0, 0],
      [0, 0, 0, 0, 0],
    ]);
    const shown = await audit('rules', 'show');
    expect(shown.out).toBe(`${RULES}\n`);
    // What is shown can be put again.
    expect((await audit('rules', 'put', fileOf(shown.out))).status).toBe(0);
    expect(rig.node.audit.keptAlerts.rules).toEqual(rules);
    expect(rig.node.audit.keptAlerts.webhook).toEqual({ url: webhook?.url, secret: Buffer.alloc(0) });
  });

  it('may be none', async () => {
    expect((await audit('rules', 'show')).out).toBe('rules: []\n');
    expect((await audit('rules', 'put', fileOf('rules: []'))).status).toBe(0);
  });

  it.each([
    ['a kind that is none', 'rules: [{name: a, kind: b}]', /kind/],
    ['a field that is none', 'rules: [{name: a, kind: break-glass, count: 3}]', /count/],
    ['a field that is missing', 'rules: [{name: a, kind: denials, by: address, count: 3}]', /within/],
    ['hours that are none', RULES.replace('08:00', '8'), /hours.*write 08:00-18:00/],
    ['no duration', RULES.replace('10m', 'soon'), /within.*no duration/],
    ['an unknown time zone', RULES.replace('Europe/Berlin', 'Moon/Base'), /no time zone Moon\/Base/],
    ['a name twice', RULES.replace('glass', 'guessing'), /rules\[4\]\.name is that of an earlier rule/],
    ['a pattern that is none', RULES.replace('"secrets/**"', '"a/**/b"'), /\*\*/],
    ['a user in the address', RULES.replace('https://', 'https://me:pw@'), /webhook\.url/],
    ['a secret that is not there', `${RULES}\n  secret_file: nowhere`, /nowhere cannot be read/],
    ['an alias', 'rules: &a []\nwebhook: *a', /aliases/],
    ['no YAML', 'rules: [', /alerts\.yaml/],
  ])('are refused with %s', async (_what, text, message) => {
    const { status, stderr } = await audit('rules', 'validate', fileOf(text));
    expect(status).not.toBe(0);
    expect(stderr).toMatch(message);
    expect(stderr).not.toContain('pw@');
  });
});
