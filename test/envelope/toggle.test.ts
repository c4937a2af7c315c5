import { createHmac } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { InvariantViolation } from '../../src/base/assert.ts';
import { bytesCodec, type SealedCodec } from '../../src/envelope/codec.ts';
import { withoutReadable, withToggle } from '../../src/envelope/keyring.ts';
import type { SealContext } from '../../src/envelope/sealer.ts';
import { keyringFor, refusalOf, sealerFor } from './fixtures.ts';

interface Setting {
  readonly key: string;
  readonly value: number;
}

const settingCodec: SealedCodec<Setting> = {
  encode: ({ key, value }) => Buffer.from(`${value}:${key}`),
  decode(bytes) {
    const [value, key] = Buffer.from(bytes).toString().split(/:(.*)/s);
    if (value === undefined || key === undefined) throw new Error('not a setting');
    return { key, value: Number(value) };
  },
  toJson: ({ key, value }) => ({ key, value }),
  fromJson: (json) => json as Setting,
};

const SETTING: Setting = { key: 'dashboards/home', value: 42 };
const CONTEXT: SealContext = { purpose: 'record', place: { kind: 'row', table: 'k', number: 7, sub: 3 } };

/** An envelope with its body replaced and, if `tagOf` is given, a tag made by it. */
function withBody(envelope: Buffer, body: Buffer, tagOf?: (headerAndBody: Buffer) => Buffer): Buffer {
  const headerAndBody = Buffer.concat([envelope.subarray(0, 37), body]);
  const tag = tagOf?.(headerAndBody) ?? envelope.subarray(envelope.length - 16);
  return Buffer.concat([headerAndBody, tag]);
}

describe('suite 0', () => {
  test('the body is the readable JSON of the codec, and opens to the same value', () => {
    const sealer = sealerFor(keyringFor('off'));
    const envelope = sealer.seal(settingCodec, SETTING, CONTEXT);
    expect(envelope[4]).toBe(0);
    expect(envelope.toString('utf8', 37, envelope.length - 16)).toBe('{"key":"dashboards/home","value":42}');
    expect(sealer.open(settingCodec, envelope, CONTEXT)).toEqual(SETTING);
  });

  test('with the toggle on nothing of the value stands in the envelope', () => {
    const envelope = sealerFor(keyringFor('on')).seal(settingCodec, SETTING, CONTEXT);
    expect(envelope[4]).toBe(1);
    expect(envelope.includes('dashboards')).toBe(false);
  });

  test('cannot be forged: another body, a tag without the key, no tag', () => {
    const keyring = keyringFor('off');
    const sealer = sealerFor(keyring);
    const envelope = sealer.seal(settingCodec, SETTING, CONTEXT);
    const forged = Buffer.from('{"key":"dashboards/home","value":43}');
    const guesses = [
      withBody(envelope, forged),
      withBody(envelope, forged, () => Buffer.alloc(16)),
      withBody(envelope, forged, (bytes) =>
        createHmac('sha256', Buffer.alloc(32)).update(bytes).digest().subarray(0, 16),
      ),
      // The key of the tag is a subkey: not even the data key itself makes one.
      withBody(envelope, forged, (bytes) =>
        createHmac('sha256', keyring.active.dataKey.exportForWrap()).update(bytes).digest().subarray(0, 16),
      ),
    ];
    for (const guess of guesses) {
      expect(refusalOf(() => sealer.open(settingCodec, guess, CONTEXT)).code).toBe('ENVELOPE_UNREADABLE');
    }
  });

  test('an encrypted envelope cannot be passed off as a readable one, nor the other way round', () => {
    const keyring = keyringFor('on');
    const on = sealerFor(keyring);
    const off = sealerFor(withToggle(keyring, 'off'));
    for (const [sealer, suite] of [
      [on, 0],
      [off, 1],
    ] as const) {
      const envelope = sealer.seal(settingCodec, SETTING, CONTEXT);
      envelope[4] = suite;
      expect(refusalOf(() => off.open(settingCodec, envelope, CONTEXT)).code).toBe('ENVELOPE_UNREADABLE');
    }
  });

  test.each(['keyring', 'trust'] as const)('purpose %s is encrypted with the toggle off too', (purpose) => {
    const sealer = sealerFor(keyringFor('off'));
    const context: SealContext = { purpose, place: { kind: 'file', name: 'node.key', generation: 1 } };
    const envelope = sealer.sealBytes(Buffer.from('private'), context);
    expect(envelope[4]).toBe(1);
    expect(sealer.openBytes(envelope, context)).toEqual(Buffer.from('private'));
    envelope[4] = 0;
    expect(refusalOf(() => sealer.openBytes(envelope, context)).message).toContain('not encrypted');
  });

  test('bytes are readable as base64, and other JSON is none of theirs', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        const json: unknown = JSON.parse(JSON.stringify(bytesCodec.toJson(bytes)));
        expect(bytesCodec.fromJson(json)).toEqual(Buffer.from(bytes));
      }),
    );
    for (const json of [
      null,
      'AAAA',
      {},
      { base64: 1 },
      { base64: 'AAA' },
      { base64: 'AA=A' },
      { base64: '*AAA' },
    ]) {
      expect(() => bytesCodec.fromJson(json)).toThrow(TypeError);
    }
  });

  test('a verified body that does not decode is one refusal without its content', () => {
    const broken: SealedCodec<Setting> = {
      ...settingCodec,
      toJson: () => 'dashboards',
      fromJson: fail,
      decode: fail,
    };
    function fail(): never {
      throw new SyntaxError('dashboards is not a setting');
    }
    for (const encryption of ['on', 'off'] as const) {
      const sealer = sealerFor(keyringFor(encryption));
      const refusal = refusalOf(() => sealer.open(broken, sealer.seal(broken, SETTING, CONTEXT), CONTEXT));
      expect(refusal.code).toBe('ENVELOPE_UNREADABLE');
      expect(refusal.message).toContain('does not decode');
      expect(`${refusal.message}${String(refusal.cause)}`).not.toContain('dashboards');
    }
    const silent = { ...settingCodec, toJson: () => undefined };
    expect(() => sealerFor(keyringFor('off')).seal(silent, SETTING, CONTEXT)).toThrow(InvariantViolation);
  });
});

describe('the toggle', () => {
  test('on, off and on again: everything opens on the way, and says that it is to be rewritten', () => {
    const keyring = keyringFor('on');
    const sealer = sealerFor(keyring);
    const encrypted = sealer.seal(settingCodec, SETTING, CONTEXT);

    sealer.setKeyring(withToggle(keyring, 'off'));
    expect(sealer.openDetailed(settingCodec, encrypted, CONTEXT)).toMatchObject({
      value: SETTING,
      suite: 1,
      current: false,
    });
    const readable = sealer.seal(settingCodec, SETTING, CONTEXT);
    expect(sealer.openDetailed(settingCodec, readable, CONTEXT)).toMatchObject({ suite: 0, current: true });
    // Another process has remembered nothing of suite 1.
    expect(sealerFor(sealer.keyring).open(settingCodec, readable, CONTEXT)).toEqual(SETTING);

    sealer.setKeyring(withToggle(sealer.keyring, 'on'));
    expect(sealer.keyring.generation).toBe(3);
    expect(sealer.openDetailed(settingCodec, readable, CONTEXT)).toMatchObject({ suite: 0, current: false });
    expect(sealer.seal(settingCodec, SETTING, CONTEXT)[4]).toBe(1);

    sealer.setKeyring(withoutReadable(sealer.keyring));
    const refusal = refusalOf(() => sealer.open(settingCodec, readable, CONTEXT));
    expect(refusal.code).toBe('ENVELOPE_UNREADABLE');
    expect(refusal.message).toContain('not encrypted');
    expect(sealer.open(settingCodec, encrypted, CONTEXT)).toEqual(SETTING);
  });

  test('readable envelopes open with the toggle on until nobody has any, also in another process', () => {
    const off = keyringFor('off');
    const on = withToggle(off, 'on');
    const readable = sealerFor(off).seal(settingCodec, SETTING, CONTEXT);
    expect(sealerFor(on).open(settingCodec, readable, CONTEXT)).toEqual(SETTING);
    const refusal = refusalOf(() => sealerFor(withoutReadable(on)).open(settingCodec, readable, CONTEXT));
    expect(refusal.code).toBe('ENVELOPE_UNREADABLE');
    expect(refusalOf(() => sealerFor(keyringFor('on')).open(settingCodec, readable, CONTEXT)).code).toBe(
      'ENVELOPE_UNREADABLE',
    );
    expect(sealerFor(withoutReadable(off)).open(settingCodec, readable, CONTEXT)).toEqual(SETTING);
  });
});
