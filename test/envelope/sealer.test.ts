import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { InvariantViolation } from '../../src/base/assert.ts';
import { lengthPrefixed } from '../../src/base/bytes.ts';
import { ManualClock } from '../../src/base/clock.ts';
import type { ErrorCode } from '../../src/base/errors.ts';
import { parseNodeId } from '../../src/base/ids.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { SeededRandom } from '../../src/base/random.ts';
import { ENVELOPE_OVERHEAD_BYTES, PURPOSES, readEnvelopeHeader } from '../../src/envelope/format.ts';
import { withNewActiveKey, withoutLegacyKeys } from '../../src/envelope/keyring.ts';
import { type EnvelopePlace, PLACE_BYTES_MAX, writePlace } from '../../src/envelope/place.ts';
import { type SealContext, Sealer } from '../../src/envelope/sealer.ts';
import { flipped, keyringFor, OTHER_STORE_ID, refusalOf, STORE_ID, sealerFor } from './fixtures.ts';

const PLAINTEXT = Buffer.from('a secret value');
const CONTEXT: SealContext = { purpose: 'record', place: { kind: 'row', table: 'k', number: 7, sub: 3 } };

/** Which refusal a flipped bit of the header of version 1 gives, by byte. */
function codeOfFlip(byte: number, mask: number): ErrorCode {
  if (byte === 3) return 'ENVELOPE_VERSION_UNKNOWN';
  if (byte === 4 && mask !== 1) return 'ENVELOPE_SUITE_UNKNOWN';
  if (byte >= 5 && byte < 13) return 'KEY_UNKNOWN';
  return 'ENVELOPE_UNREADABLE';
}

const count = fc.maxSafeNat();
const places: fc.Arbitrary<EnvelopePlace> = fc.oneof(
  fc.record({ kind: fc.constant('entry' as const), term: count, index: count }),
  fc.record({
    kind: fc.constant('row' as const),
    table: fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code)),
    number: count,
    sub: count,
  }),
  fc.record({
    kind: fc.constant('forward' as const),
    nodeId: fc
      .uint8Array({ minLength: 8, maxLength: 8 })
      .map((id) => parseNodeId(Buffer.from(id).toString('hex'))),
    sequence: count,
  }),
  fc.record({
    kind: fc.constant('file' as const),
    name: fc
      .string({ unit: 'grapheme', minLength: 1, maxLength: 12 })
      .filter((name) => Buffer.byteLength(name) <= 256),
    generation: count,
  }),
);
const contexts = fc.record({ purpose: fc.constantFrom(...PURPOSES), place: places });

describe('the envelope, byte by byte', () => {
  test('header, length and associated data are those of the format', () => {
    const keyring = keyringFor('on');
    const { dataKey } = keyring.active;
    const envelope = sealerFor(keyring).sealBytes(PLAINTEXT, CONTEXT);
    expect(envelope).toHaveLength(37 + PLAINTEXT.length + 16);
    expect(envelope.subarray(0, 13).toString('hex')).toBe(`4846450101${dataKey.id}`);
    expect(readEnvelopeHeader(envelope, () => '')).toEqual({ version: 1, suite: 1, keyId: dataKey.id });
    const associatedData = lengthPrefixed([
      Buffer.from([0x48, 0x46, 0x45, 1]),
      Buffer.from([1]),
      dataKey.idBytes,
      Buffer.from(STORE_ID, 'hex'),
      Buffer.from('record'),
      Buffer.from('026b00000000000000070000000000000003', 'hex'),
    ]);
    const input = { nonce: envelope.subarray(13, 37), associatedData };
    expect(dataKey.cipher.open(input, envelope.subarray(37))).toEqual(PLAINTEXT);
  });

  test('every truncation and every longer form is refused', () => {
    const sealer = sealerFor(keyringFor('on'));
    const envelope = sealer.sealBytes(PLAINTEXT, CONTEXT);
    for (let length = 0; length < envelope.length; length += 1) {
      const cut = refusalOf(() => sealer.openBytes(envelope.subarray(0, length), CONTEXT));
      expect(cut.code).toBe('ENVELOPE_UNREADABLE');
    }
    const longer = Buffer.concat([envelope, Buffer.alloc(1)]);
    expect(refusalOf(() => sealer.openBytes(longer, CONTEXT)).code).toBe('ENVELOPE_UNREADABLE');
  });

  test.each(['on', 'off'] as const)('every single-bit flip is refused (toggle %s)', (encryption) => {
    const sealer = sealerFor(keyringFor(encryption));
    const envelope = sealer.sealBytes(PLAINTEXT, CONTEXT);
    for (let bit = 0; bit < envelope.length * 8; bit += 1) {
      const refusal = refusalOf(() => sealer.openBytes(flipped(envelope, bit), CONTEXT));
      expect(refusal.code, `bit ${bit}`).toBe(codeOfFlip(bit >>> 3, 1 << (bit & 7)));
    }
    expect(sealer.openBytes(envelope, CONTEXT)).toEqual(PLAINTEXT);
  });

  test('an envelope over the limit is neither made nor looked at', () => {
    const sealer = sealerFor(keyringFor('on'));
    const most = Buffer.alloc(LIMITS.envelopeBytesMax - ENVELOPE_OVERHEAD_BYTES + 1);
    expect(refusalOf(() => sealer.sealBytes(most, CONTEXT)).code).toBe('TOO_LARGE');
    const huge = Buffer.alloc(LIMITS.envelopeBytesMax + 1);
    huge.write('HFE\u0001\u0001', 'latin1');
    expect(refusalOf(() => sealer.openBytes(huge, CONTEXT)).message).toContain('no envelope has');
  });
});

describe('what the tag binds', () => {
  test.each(['on', 'off'] as const)(
    'a round trip for any bytes, purpose and place (toggle %s)',
    (encryption) => {
      const sealer = sealerFor(keyringFor(encryption));
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 300 }), contexts, (bytes, context) => {
          const envelope = sealer.sealBytes(bytes, context);
          expect(sealer.openBytes(envelope, context)).toEqual(Buffer.from(bytes));
        }),
        { numRuns: 300 },
      );
    },
  );

  test.each(['on', 'off'] as const)('no other purpose or place opens it (toggle %s)', (encryption) => {
    const sealer = sealerFor(keyringFor(encryption));
    fc.assert(
      fc.property(contexts, contexts, (sealed, asked) => {
        fc.pre(JSON.stringify(sealed) !== JSON.stringify(asked));
        const envelope = sealer.sealBytes(PLAINTEXT, sealed);
        expect(refusalOf(() => sealer.openBytes(envelope, asked)).code).toBe('ENVELOPE_UNREADABLE');
      }),
      { numRuns: 300 },
    );
  });

  const nodeId = parseNodeId('00112233445566aa');
  /** Canonical bytes, written out by hand, and places that differ in one field each. */
  const neighbours: [string, EnvelopePlace, string, EnvelopePlace[]][] = [
    [
      'entry',
      { kind: 'entry', term: 7, index: 3 },
      '0100000000000000070000000000000003',
      [
        { kind: 'entry', term: 8, index: 3 },
        { kind: 'entry', term: 7, index: 2 },
        { kind: 'entry', term: 3, index: 7 },
      ],
    ],
    [
      'row',
      { kind: 'row', table: 'k', number: 7 + 2 ** 32, sub: 3 },
      '026b00000001000000070000000000000003',
      [
        { kind: 'row', table: 'l', number: 7 + 2 ** 32, sub: 3 },
        { kind: 'row', table: 'k', number: 7, sub: 3 },
        { kind: 'row', table: 'k', number: 7 + 2 ** 32, sub: 2 },
        { kind: 'row', table: 'k', number: 3, sub: 7 + 2 ** 32 },
      ],
    ],
    [
      'forward',
      { kind: 'forward', nodeId, sequence: 9 },
      '0300112233445566aa0000000000000009',
      [
        { kind: 'forward', nodeId: parseNodeId('00112233445566ab'), sequence: 9 },
        { kind: 'forward', nodeId, sequence: 8 },
        { kind: 'entry', term: 0x0011223344556, index: 9 },
      ],
    ],
    [
      'file',
      { kind: 'file', name: 'node.key', generation: 2 },
      '0400000000000000026e6f64652e6b6579',
      [
        { kind: 'file', name: 'node.kez', generation: 2 },
        { kind: 'file', name: 'node.key2', generation: 2 },
        { kind: 'file', name: 'node.key', generation: 1 },
      ],
    ],
  ];
  test.each(neighbours)('place %s: its bytes, and no field may differ', (_name, place, bytes, others) => {
    const target = Buffer.alloc(PLACE_BYTES_MAX, 0xee);
    expect(target.subarray(0, writePlace(target, place, 0)).toString('hex')).toBe(bytes);
    const sealer = sealerFor(keyringFor('on'));
    const envelope = sealer.sealBytes(PLAINTEXT, { purpose: 'record', place });
    for (const other of others) {
      const refusal = refusalOf(() => sealer.openBytes(envelope, { purpose: 'record', place: other }));
      expect(refusal.code).toBe('ENVELOPE_UNREADABLE');
    }
    for (const purpose of PURPOSES.filter((known) => known !== 'record')) {
      const refusal = refusalOf(() => sealer.openBytes(envelope, { purpose, place }));
      expect(refusal.code).toBe('ENVELOPE_UNREADABLE');
    }
  });

  test('a name that is not well formed opens nothing, though it would be written as another', () => {
    const sealer = sealerFor(keyringFor('on'));
    const named = (name: string): SealContext => ({
      purpose: 'trust',
      place: { kind: 'file', name, generation: 1 },
    });
    const envelope = sealer.sealBytes(PLAINTEXT, named('lone \ufffd'));
    expect(sealer.openBytes(envelope, named('lone \ufffd'))).toEqual(PLAINTEXT);
    const refusal = refusalOf(() => sealer.openBytes(envelope, named('lone \ud800')));
    expect(refusal.code).toBe('ENVELOPE_UNREADABLE');
  });

  test.each(['on', 'off'] as const)(
    'another store with the same data key does not open (toggle %s)',
    (encryption) => {
      const ours = sealerFor(keyringFor(encryption, 1, STORE_ID));
      const theirs = sealerFor(keyringFor(encryption, 1, OTHER_STORE_ID));
      expect(theirs.keyring.active.dataKey.id).toBe(ours.keyring.active.dataKey.id);
      const refusal = refusalOf(() => theirs.openBytes(ours.sealBytes(PLAINTEXT, CONTEXT), CONTEXT));
      expect(refusal.code).toBe('ENVELOPE_UNREADABLE');
    },
  );

  test('refusals name place and key id, and never the content', () => {
    for (const encryption of ['on', 'off'] as const) {
      const sealer = sealerFor(keyringFor(encryption));
      const envelope = sealer.sealBytes(PLAINTEXT, CONTEXT);
      const refusal = refusalOf(() => sealer.openBytes(flipped(envelope, 40 * 8), CONTEXT));
      expect(refusal.message).toContain('row 7.3 of table k');
      expect(refusal.message).toContain(sealer.keyring.active.dataKey.id);
      const told = JSON.stringify([refusal.message, refusal.hint, refusal.field, String(refusal.cause)]);
      expect(told).not.toContain('secret');
      expect(told).not.toContain(PLAINTEXT.toString('base64'));
    }
  });
});

describe('keys and nonces', () => {
  test('no nonce comes twice, over several blocks', () => {
    const sealer = sealerFor(keyringFor('on'));
    const nonces = new Set<string>();
    for (let i = 0; i < 1_000; i += 1) {
      nonces.add(sealer.sealBytes(Buffer.alloc(0), CONTEXT).toString('hex', 13, 37));
    }
    expect(nonces.size).toBe(1_000);
  });

  test('seals with the active key, opens with legacy ones, knows neither retired nor foreign ones', () => {
    const sources = { random: new SeededRandom(5), clock: new ManualClock() };
    const first = keyringFor('on');
    const firstId = first.active.dataKey.id;
    const sealer = sealerFor(first);
    const old = sealer.sealBytes(PLAINTEXT, CONTEXT);
    expect(readEnvelopeHeader(old, () => '').keyId).toBe(firstId);
    const rotated = withNewActiveKey(first, sources);
    const secondId = rotated.active.id;
    sealer.setKeyring(rotated);
    const fresh = sealer.sealBytes(PLAINTEXT, CONTEXT);
    const read = (envelope: Buffer) => {
      const codec = { encode: () => PLAINTEXT, decode: String, toJson: String, fromJson: String };
      return sealer.openDetailed(codec, envelope, CONTEXT);
    };
    expect(read(old)).toEqual({ value: 'a secret value', suite: 1, keyId: firstId, current: false });
    expect(read(fresh)).toEqual({ value: 'a secret value', suite: 1, keyId: secondId, current: true });
    // Another process has remembered nothing of the first key.
    expect(sealerFor(rotated).openBytes(fresh, CONTEXT)).toEqual(PLAINTEXT);
    expect(sealerFor(rotated).openBytes(old, CONTEXT)).toEqual(PLAINTEXT);
    sealer.setKeyring(withoutLegacyKeys(rotated));
    const retired = refusalOf(() => read(old));
    expect([retired.code, retired.message]).toEqual(['KEY_UNKNOWN', expect.stringContaining('retired')]);
    const foreign = sealerFor(keyringFor('on', 77));
    expect(refusalOf(() => foreign.openBytes(fresh, CONTEXT)).code).toBe('KEY_UNKNOWN');
  });

  test('a keyring of another store and a place that cannot be are defects', () => {
    const keyring = keyringFor('on');
    const random = new SeededRandom(1);
    expect(() => new Sealer({ keyring, storeId: OTHER_STORE_ID, random })).toThrow(InvariantViolation);
    const sealer = sealerFor(keyring);
    expect(() => sealer.setKeyring(keyringFor('on', 1, OTHER_STORE_ID))).toThrow(InvariantViolation);
    const envelope = sealer.sealBytes(PLAINTEXT, CONTEXT);
    const impossible: EnvelopePlace[] = [
      { kind: 'entry', term: -1, index: 1 },
      { kind: 'entry', term: 1, index: 2 ** 53 },
      { kind: 'row', table: 'kk', number: 1, sub: 0 },
      { kind: 'row', table: '', number: 1, sub: 0 },
      { kind: 'row', table: 'é', number: 1, sub: 0 },
      { kind: 'row', table: 'k', number: 1.5, sub: 0 },
      { kind: 'forward', nodeId: 'ABCDEF0011223344' as ReturnType<typeof parseNodeId>, sequence: 1 },
      { kind: 'forward', nodeId: parseNodeId('00112233445566aa'), sequence: Number.NaN },
      { kind: 'file', name: '', generation: 1 },
      { kind: 'file', name: 'x'.repeat(257), generation: 1 },
      { kind: 'file', name: 'lone \ud800', generation: 1 },
      { kind: 'file', name: 'x', generation: -1 },
    ];
    for (const place of impossible) {
      expect(() => sealer.sealBytes(PLAINTEXT, { purpose: 'record', place })).toThrow(InvariantViolation);
      const asked = refusalOf(() => sealer.openBytes(envelope, { purpose: 'record', place }));
      expect(asked.code).toBe('ENVELOPE_UNREADABLE');
    }
    const longest: EnvelopePlace = { kind: 'file', name: 'x'.repeat(256), generation: 2 ** 53 - 1 };
    const context: SealContext = { purpose: 'snapshot', place: longest };
    expect(sealer.openBytes(sealer.sealBytes(PLAINTEXT, context), context)).toEqual(PLAINTEXT);
  });
});
