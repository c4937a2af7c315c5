import { createPrivateKey, createPublicKey, type KeyObject, sign } from 'node:crypto';
import { HoldfastError } from '../base/errors.ts';

const SEQUENCE = 0x30;
const SET = 0x31;
const BIT_STRING = 0x03;
const UTF8_STRING = 0x0c;
const NO_ATTRIBUTES = Buffer.from([0xa0, 0x00]);
const VERSION_1 = Buffer.from([0x02, 0x01, 0x00]);
/** 2.5.4.3 */
const COMMON_NAME = Buffer.from([0x06, 0x03, 0x55, 0x04, 0x03]);
/** 1.2.840.10045.4.3.2 */
const ECDSA_WITH_SHA256 = Buffer.from([0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02]);

/**
 * The request (PKCS #10, DER; RFC 2986) to have a client's key certified anew, signed by that key. The cluster takes the
 * key from it and nothing else.
 * @param privateKey PEM, ECDSA on P-256
 * @throws HoldfastError CONFIG_INVALID
 */
export function certificateRequest(privateKey: string): Buffer {
  const key = readKey(privateKey);
  const publicKey = createPublicKey(key).export({ format: 'der', type: 'spki' });
  const commonName = element(SEQUENCE, COMMON_NAME, element(UTF8_STRING, Buffer.from('holdfast client')));
  const subject = element(SEQUENCE, element(SET, commonName));
  const information = element(SEQUENCE, VERSION_1, subject, publicKey, NO_ATTRIBUTES);
  const signature = sign('sha256', information, { key, dsaEncoding: 'der' });
  const algorithm = element(SEQUENCE, ECDSA_WITH_SHA256);
  // A bit string begins with how many bits of its last byte are not used.
  return element(SEQUENCE, information, algorithm, element(BIT_STRING, Buffer.alloc(1), signature));
}

function readKey(pem: string): KeyObject {
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch {
    // The cause is dropped: it may speak of the key.
    throw unusable('does not parse');
  }
  if (key.asymmetricKeyDetails?.namedCurve !== 'prime256v1') throw unusable('is not an ECDSA key on P-256');
  return key;
}

function unusable(what: string): HoldfastError {
  return new HoldfastError('CONFIG_INVALID', `the private key of the context ${what}`, {
    field: 'privateKey',
    hint: 'restore the context file from a copy',
  });
}

/** One element of DER: tag, length, content. */
function element(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  return Buffer.concat([Buffer.from([tag]), lengthOf(content.length), content]);
}

function lengthOf(length: number): Buffer {
  if (length < 0x80) return Buffer.from([length]);
  if (length < 0x100) return Buffer.from([0x81, length]);
  return Buffer.from([0x82, length >> 8, length & 0xff]);
}
