import { createHash, createSecretKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { InvariantViolation } from '../../src/base/assert.ts';
import { gcmOpen, gcmSeal } from '../../src/envelope/aes256gcm.ts';
import { Xaes256Gcm } from '../../src/envelope/xaes256gcm.ts';

interface XaesVectors {
  static: {
    name: string;
    key: string;
    nonce: string;
    plaintext: string;
    aad: string;
    ciphertextAndTag: string;
  }[];
  accumulated: { iterations: number; hash: string; streamStartsWith: string };
}
interface WycheproofVectors {
  numberOfTests: number;
  testGroups: {
    tests: {
      tcId: number;
      key: string;
      iv: string;
      aad: string;
      msg: string;
      ct: string;
      tag: string;
      result: 'valid' | 'invalid';
    }[];
  }[];
}

function readVectors(name: string): unknown {
  return JSON.parse(readFileSync(new URL(`../testdata/vectors/${name}`, import.meta.url), 'utf8'));
}

const hex = (text: string) => Buffer.from(text, 'hex');

function sealXaes(key: Buffer, nonce: Buffer, plaintext: Buffer, aad: Buffer): Buffer {
  const target = Buffer.alloc(plaintext.length + 16);
  new Xaes256Gcm(createSecretKey(key)).seal({ nonce, associatedData: aad }, plaintext, target, 0);
  return target;
}

describe('XAES-256-GCM, vectors of C2SP', () => {
  const vectors = readVectors('xaes-256-gcm.json') as XaesVectors;

  test.each(vectors.static)('$name', (vector) => {
    const [key, nonce, plaintext, aad] = [vector.key, vector.nonce, vector.plaintext, vector.aad].map(hex);
    if (!key || !nonce || !plaintext || !aad) throw new Error('incomplete vector');
    const sealed = sealXaes(key, nonce, plaintext, aad);
    expect(sealed.toString('hex')).toBe(vector.ciphertextAndTag);
    const cipher = new Xaes256Gcm(createSecretKey(key));
    expect(cipher.open({ nonce, associatedData: aad }, sealed)).toEqual(plaintext);
    expect(cipher.open({ nonce, associatedData: Buffer.concat([aad, Buffer.alloc(1)]) }, sealed)).toBeNull();
  });

  test('10,000 random inputs give the published hash', () => {
    const { iterations, hash, streamStartsWith } = vectors.accumulated;
    const stream = createHash('shake128', { outputLength: 6_000_000 }).digest();
    expect(stream.subarray(0, 16).toString('hex')).toBe(streamStartsWith);
    let offset = 0;
    const next = (length: number) => stream.subarray(offset, (offset += length));
    const result = createHash('shake128', { outputLength: 32 });
    for (let i = 0; i < iterations; i += 1) {
      const [key, nonce] = [next(32), next(24)];
      const plaintext = next(next(1)[0] ?? 0);
      const aad = next(next(1)[0] ?? 0);
      result.update(sealXaes(key, nonce, plaintext, aad));
    }
    expect(result.digest('hex')).toBe(hash);
  });

  test('one cipher object serves many nonces', () => {
    const key = Buffer.alloc(32, 7);
    const cipher = new Xaes256Gcm(createSecretKey(key));
    for (let i = 0; i < 50; i += 1) {
      const input = { nonce: Buffer.alloc(24, i), associatedData: Buffer.alloc(i) };
      const target = Buffer.alloc(26);
      cipher.seal(input, Buffer.alloc(10, i), target, 0);
      expect(target).toEqual(sealXaes(key, input.nonce, Buffer.alloc(10, i), input.associatedData));
      expect(cipher.open(input, target)).toEqual(Buffer.alloc(10, i));
    }
  });

  test.each([0, 1, 11, 12, 13, 23, 25])('a nonce of %i bytes is a defect', (length) => {
    const cipher = new Xaes256Gcm(createSecretKey(Buffer.alloc(32)));
    const input = { nonce: Buffer.alloc(length), associatedData: Buffer.alloc(0) };
    expect(() => cipher.seal(input, Buffer.alloc(1), Buffer.alloc(17), 0)).toThrow(InvariantViolation);
    expect(() => cipher.open(input, Buffer.alloc(17))).toThrow(InvariantViolation);
  });

  test.each([16, 31, 33])('a key of %i bytes is a defect', (length) => {
    expect(() => new Xaes256Gcm(createSecretKey(Buffer.alloc(length)))).toThrow(InvariantViolation);
  });
});

describe('AES-256-GCM, vectors of Wycheproof', () => {
  const vectors = readVectors('wycheproof-aes-gcm.json') as WycheproofVectors;
  const cases = vectors.testGroups.flatMap((group) => group.tests);

  test('all vectors are here, valid and invalid ones', () => {
    expect(cases).toHaveLength(vectors.numberOfTests);
    expect(new Set(cases.map((vector) => vector.result))).toEqual(new Set(['valid', 'invalid']));
  });

  test.each(cases)('case $tcId ($result)', (vector) => {
    const input = { key: hex(vector.key), iv: hex(vector.iv), associatedData: hex(vector.aad) };
    const sealed = Buffer.concat([hex(vector.ct), hex(vector.tag)]);
    const opened = gcmOpen(input, sealed);
    if (vector.result === 'invalid') {
      expect(opened).toBeNull();
      return;
    }
    expect(opened?.toString('hex')).toBe(vector.msg);
    const target = Buffer.alloc(sealed.length);
    gcmSeal(input, hex(vector.msg), target, 0);
    expect(target).toEqual(sealed);
  });

  test.each([0, 4, 8, 12, 15, 17])('a tag of %i bytes does not open', (length) => {
    const input = { key: Buffer.alloc(32), iv: Buffer.alloc(12), associatedData: Buffer.alloc(0) };
    const sealed = Buffer.alloc(16);
    gcmSeal(input, Buffer.alloc(0), sealed, 0);
    expect(gcmOpen(input, sealed)).toEqual(Buffer.alloc(0));
    expect(gcmOpen(input, Buffer.concat([sealed, Buffer.alloc(1)]).subarray(0, length))).toBeNull();
  });

  test.each([0, 1, 11, 13, 16])('a nonce of %i bytes is a defect', (length) => {
    const input = { key: Buffer.alloc(32), iv: Buffer.alloc(length), associatedData: Buffer.alloc(0) };
    expect(() => gcmSeal(input, Buffer.alloc(1), Buffer.alloc(17), 0)).toThrow(InvariantViolation);
    expect(() => gcmOpen(input, Buffer.alloc(17))).toThrow(InvariantViolation);
  });
});
