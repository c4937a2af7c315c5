import { afterEach, beforeEach, expect, it } from 'vitest';
import { webhookDelivery } from '../../src/audit/alerts/webhook.ts';
import { ALERTS, matching } from '../../src/audit/query.ts';
import { ManualClock, systemClock } from '../../src/base/clock.ts';
import { HoldfastError } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { silentLogger } from '../../src/base/logger.ts';
import { systemScheduler } from '../../src/base/scheduler.ts';
import { Alerts, type AlertsParts } from '../../src/node/alerts.ts';
import type { AlertRule } from '../../src/proto/audit.ts';
import { RECORD } from '../api/fakeAudit.ts';
import { command, NODE, StoreRig } from '../store/storeRig.ts';
import { until } from './until.ts';
import { sequencesOf, WebhookReceiver } from './webhookReceiver.ts';

/* What the webhook is told, and what becomes of what it does not want. */
const SECRET = Buffer.from('0123456789abcdef');
const RESET: AlertRule = {
  name: 'reset',
  kind: 'break-glass',
  resource: '',
  fromMinute: 0,
  toMinute: 0,
  days: 0,
  timeZone: '',
  by: '',
  count: 0,
  withinMs: 0,
};

let rig: StoreRig;
let clock: ManualClock;
let receiver: WebhookReceiver | undefined;
beforeEach(async () => {
  rig = await StoreRig.create();
  clock = new ManualClock();
});
afterEach(async () => {
  receiver?.close();
  receiver = undefined;
  await rig.destroy();
});

const leader = (parts: Partial<AlertsParts> = {}) =>
  new Alerts({
    nodeId: NODE.name,
    store: rig.store,
    leadership: { isLeader: true },
    submit: {
      submit: (submission) => Promise.resolve(rig.apply(command(submission, NODE))[0] ?? { replayed: false }),
    },
    delivery: webhookDelivery({ clusterId: 'c1', clock: systemClock }),
    clock,
    scheduler: systemScheduler,
    logger: silentLogger,
    ...parts,
  });

async function listen(...statuses: number[]): Promise<WebhookReceiver> {
  receiver = new WebhookReceiver(statuses);
  const webhook = { url: await receiver.listen(), secret: SECRET };
  rig.apply(command({ setAlerts: { settings: { rules: [], webhook } } }));
  return receiver;
}

const setReads = (...reads: string[]): void =>
  void rig.apply(command({ setAuditSettings: { settings: { reads, retentionMs: 0 } } }));

const shown = async () => {
  const isShown = matching({ principal: '', action: ALERTS, resource: '', result: '' });
  const records = await rig.auditRecords();
  return records.filter(isShown).map(({ sequence, action, detail }) => ({ sequence, action, detail }));
};

/** What waits for something that a test lets happen. */
function latch(): { readonly opened: Promise<void>; readonly open: () => void } {
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open: () => open() };
}

async function tickUntil(alerts: Alerts, condition: () => boolean, what: string): Promise<void> {
  await until(async () => {
    clock.advance(LIMITS.webhookRetryMsMax);
    await rig.store.flushed();
    await alerts.tick();
    return condition();
  }, what);
}

it('whoever changes the audit or the rules is told of, without any rule', async () => {
  const { received } = await listen();
  const alerts = leader();
  await tickUntil(alerts, () => received.length === 1, 'the webhook is told that it was set');
  setReads();
  await tickUntil(
    alerts,
    () => received.length === 2,
    'the webhook is told that nothing is audited any more',
  );
  const all = await shown();
  expect(all.map(({ action }) => action)).toEqual(['audit.alerts', 'audit.settings']);
  expect(sequencesOf(received)).toEqual(all.map(({ sequence }) => sequence));
  rig.apply(command({ setAlerts: { settings: { rules: [], webhook: null } } }));
  expect((await shown()).map(({ action }) => action)).toEqual([
    'audit.alerts',
    'audit.settings',
    'audit.alerts',
  ]);
});

it('whoever may not change them has changed nothing', async () => {
  const nobody = { kind: 'token', name: '00000000000000a1', address: '' };
  rig.apply(command({ setAuditSettings: { settings: { reads: [], retentionMs: 0 } } }, nobody));
  expect((await rig.auditRecords()).map(({ action, result }) => `${action} ${result}`)).toEqual([
    'audit.settings UNAUTHENTICATED',
  ]);
  expect(await shown()).toEqual([]);
});

it('an alert that the receiver refuses for good keeps back no other one, and that is recorded and said', async () => {
  const { received } = await listen(...Array.from({ length: LIMITS.webhookRefusalsMax }, () => 422));
  const alerts = leader();
  setReads('a/**');
  await tickUntil(
    alerts,
    () => received.length === LIMITS.webhookRefusalsMax,
    'the first is refused for good',
  );
  await until(() => alerts.warnings.length === 1, 'that is said');
  expect(alerts.warnings[0]).toMatch(
    /^the webhook refuses alerts, and they are passed over: .* answers 422$/,
  );
  await tickUntil(alerts, () => received.length === LIMITS.webhookRefusalsMax + 1, 'the second has come');
  await tickUntil(alerts, () => alerts.warnings.length === 0, 'nothing is to be said any more');
  const [first, second] = await shown();
  expect(new Set(sequencesOf(received).slice(0, -1))).toEqual(new Set([first?.sequence]));
  expect(sequencesOf(received).at(-1)).toBe(second?.sequence);
  const undelivered = (await shown()).find(({ action }) => action === 'alert.undelivered');
  expect(undelivered?.detail).toMatch(new RegExp(`^alert ${first?.sequence}: .* answers 422$`));
});

it.each([500, 429, 401, 0, 302])(
  'an alert is kept for a receiver that may take it later: %d',
  async (status) => {
    const refusals = 2 * LIMITS.webhookRefusalsMax;
    const { received } = await listen(...Array.from({ length: refusals }, () => status));
    const alerts = leader();
    setReads('a/**');
    await tickUntil(alerts, () => received.length === refusals + 2, 'both have come');
    const [first, second] = await shown();
    expect(sequencesOf(received).slice(refusals)).toEqual([first?.sequence, second?.sequence]);
    expect((await shown()).map(({ action }) => action)).not.toContain('alert.undelivered');
  },
);

it('an alert that is refused for good while a note is in the log has its record all the same', async () => {
  const webhook = { url: 'http://hooks.example/', secret: SECRET };
  const refusal = new HoldfastError('INVALID_ARGUMENT', 'hooks.example answers 422');
  const inLog = latch();
  const answered = latch();
  let [deliveries, notes] = [0, 0];
  rig.apply(command({ setAlerts: { settings: { rules: [RESET], webhook } } }));
  const alerts = leader({
    submit: {
      submit: async (submission) => {
        const [outcome] = rig.apply(command(submission, NODE));
        notes += 1;
        await inLog.opened;
        return outcome ?? { replayed: false };
      },
    },
    delivery: async () => {
      deliveries += 1;
      if (deliveries < LIMITS.webhookRefusalsMax) throw refusal;
      if (deliveries > LIMITS.webhookRefusalsMax) return;
      await answered.opened;
      throw refusal;
    },
  });
  await tickUntil(alerts, () => deliveries === LIMITS.webhookRefusalsMax, 'the last attempt is under way');
  const reset = { ...RECORD, action: 'user.reset', requestId: '' };
  rig.apply(command({ noteAudit: { records: [reset] } }, NODE));
  await rig.store.flushed();
  const turn = alerts.tick();
  await until(() => notes === 1, 'a note is in the log');
  answered.open();
  await until(() => alerts.warnings.length === 1, 'the alert is passed over');
  inLog.open();
  await turn;
  await tickUntil(alerts, () => deliveries > LIMITS.webhookRefusalsMax, 'the one behind it has its turn');
  await tickUntil(alerts, () => notes > 1, 'the rest is noted');
  expect((await shown()).map(({ action }) => action)).toEqual([
    'audit.alerts',
    'alert.raised',
    'alert.undelivered',
  ]);
});

it('nothing is said of what a webhook refused that is no longer the one in force', async () => {
  const alerts = leader({
    delivery: () => Promise.reject(new HoldfastError('INVALID_ARGUMENT', 'hooks.example answers 422')),
  });
  const webhook = { url: 'http://hooks.example/', secret: SECRET };
  rig.apply(command({ setAlerts: { settings: { rules: [RESET], webhook } } }));
  await tickUntil(alerts, () => alerts.warnings.length === 1, 'the alert is passed over');
  rig.apply(command({ setAlerts: { settings: { rules: [RESET], webhook: null } } }));
  await alerts.tick();
  expect(alerts.warnings).toEqual([]);
});
