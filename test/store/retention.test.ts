import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/base/limits.ts';
import { type Retention, retentionAt } from '../../src/store/retention.ts';
import { codeOf, command, StoreRig } from './storeRig.ts';

const DAY_MS = 86_400_000;
const TOKEN = { kind: 'token', name: '00000000000000a1', address: '' };
const DELAY_MS = LIMITS.auditShorteningDelayMs;

let rig: StoreRig;
beforeEach(async () => {
  rig = await StoreRig.create();
});
afterEach(() => rig.destroy());

const set = (retentionMs: number) =>
  rig.apply(command({ setAuditSettings: { settings: { reads: [], retentionMs } } })).map(codeOf);
const inForceDays = () => retentionAt(rig.store.audit.rules.retention, rig.timeMs) / DAY_MS;
const pass = (ms: number): void => {
  rig.timeMs += ms;
};

describe('how long records are kept', () => {
  it('is shortened for all to see, and only some days later', async () => {
    expect(inForceDays()).toBe(90);
    set(DAY_MS);
    pass(DELAY_MS - 1);
    expect(inForceDays()).toBe(90);
    await rig.reopen();
    expect(inForceDays()).toBe(90);
    pass(1);
    expect(inForceDays()).toBe(1);
  });

  it('is not shortened sooner by way of other settings', () => {
    set(DAY_MS);
    pass(DELAY_MS - 1);
    set(2 * DAY_MS);
    set(DAY_MS);
    pass(1);
    expect(inForceDays()).toBe(90);
    pass(DELAY_MS - 1);
    expect(inForceDays()).toBe(1);
  });

  it('is not put off by whoever changes something else', () => {
    set(DAY_MS);
    pass(DELAY_MS - 1);
    set(DAY_MS);
    pass(1);
    expect(inForceDays()).toBe(1);
  });

  it('is lengthened at once, and taken back at once', () => {
    set(100 * DAY_MS);
    expect(inForceDays()).toBe(100);
    set(DAY_MS);
    set(100 * DAY_MS);
    pass(DELAY_MS);
    expect(inForceDays()).toBe(100);
  });

  it('is for ever, and after that no longer than it says', () => {
    set(0);
    expect(inForceDays()).toBe(0);
    set(DAY_MS);
    pass(DELAY_MS - 1);
    expect(inForceDays()).toBe(0);
    pass(1);
    expect(inForceDays()).toBe(1);
  });

  it('is a day at least', () => {
    expect([1, DAY_MS - 1, DAY_MS, 0].map((retentionMs) => set(retentionMs)[0])).toEqual([
      'INVALID_ARGUMENT',
      'INVALID_ARGUMENT',
      'none',
      'none',
    ]);
  });

  it.each([
    ['audit', 'PERMISSION_DENIED'],
    ['audit-settings', 'none'],
  ])('is set by who administers %s: %s', (area, code) => {
    const policy = { role: 'own', rules: [], admin: [area] };
    const token = { id: TOKEN.name, secretHash: Buffer.alloc(32), description: '', roles: ['own'], ttlMs: 0 };
    rig.apply(command({ putPolicy: { policy } }), command({ createAccessToken: token }));
    const settings = { reads: [], retentionMs: 0 };
    const alerts = { rules: [], webhook: null };
    const outcomes = rig.apply(
      command({ setAuditSettings: { settings } }, TOKEN),
      command({ setAlerts: { settings: alerts } }, TOKEN),
    );
    expect(outcomes.map(codeOf)).toEqual([code, code]);
  });

  it('is the longer of both, whichever that is', () => {
    const at = (retention: Retention, timeMs: number) => retentionAt(retention, timeMs);
    expect(at({ retentionMs: 5, former: { retentionMs: 3, untilMs: 10 } }, 9)).toBe(5);
    expect(at({ retentionMs: 0, former: { retentionMs: 3, untilMs: 10 } }, 9)).toBe(0);
    expect(at({ retentionMs: 3, former: { retentionMs: 0, untilMs: 10 } }, 9)).toBe(0);
  });
});
