import { assert, InvariantViolation } from '../base/assert.ts';
import { asBuffer } from '../base/bytes.ts';
import { HoldfastError } from '../base/errors.ts';
import type { StoreId } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import type { RandomSource } from '../base/random.ts';
import { AssociatedData } from './associatedData.ts';
import { bytesCodec, type SealedCodec } from './codec.ts';
import type { DataKey } from './dataKey.ts';
import {
  ENVELOPE_OVERHEAD_BYTES,
  type KeyId,
  NONCE_OFFSET,
  type Purpose,
  readEnvelopeHeader,
  unreadable,
  writeHeader,
} from './format.ts';
import type { Keyring } from './keyring.ts';
import { NonceSource } from './nonces.ts';
import { describePlace, type EnvelopePlace, placeProblem } from './place.ts';
import { READABLE_SUITE, SUITES, type Suite, XAES_SUITE } from './suite.ts';

/** What the caller knows of an envelope and the envelope must prove. */
export interface SealContext {
  readonly purpose: Purpose;
  readonly place: EnvelopePlace;
}

/** Whether to encrypt whatever the toggle says; absent: only what the purpose demands. */
export interface Secrecy {
  readonly encrypted?: boolean;
}

export interface Opened<T> {
  readonly value: T;
  /** 1: encrypted; 0: readable. */
  readonly suite: 0 | 1;
  readonly keyId: KeyId;
  /** Whether a seal at this moment would use the same suite and key; when false the caller may rewrite it. */
  readonly current: boolean;
}

export interface SealerOptions {
  readonly keyring: Keyring;
  readonly storeId: StoreId;
  readonly random: RandomSource;
}

/** Purposes that are encrypted whatever the toggle says. */
const ALWAYS_ENCRYPTED: ReadonlySet<Purpose> = new Set(['keyring', 'trust']);

/** Seals and opens everything that one store keeps or sends. */
export class Sealer {
  readonly #associatedData: AssociatedData;
  readonly #nonces: NonceSource;
  readonly #storeId: StoreId;
  #keyring: Keyring;

  constructor({ keyring, storeId, random }: SealerOptions) {
    assert(keyring.storeId === storeId, 'the keyring is of this store');
    this.#storeId = storeId;
    this.#associatedData = new AssociatedData(storeId);
    this.#nonces = new NonceSource(random);
    this.#keyring = keyring;
  }

  get keyring(): Keyring {
    return this.#keyring;
  }

  /** From now on seals and opens as this keyring says. */
  setKeyring(keyring: Keyring): void {
    assert(keyring.storeId === this.#storeId, 'the keyring is of this store');
    this.#keyring = keyring;
  }

  /**
   * The envelope of a value for this purpose and place, under the active data key.
   * @throws HoldfastError TOO_LARGE when it would be longer than LIMITS.envelopeBytesMax
   */
  seal<T>(
    codec: SealedCodec<T>,
    value: T,
    { purpose, place, encrypted = false }: SealContext & Secrecy,
  ): Buffer {
    const problem = placeProblem(place);
    assert(problem === null, problem ?? '');
    const suite = encrypted ? XAES_SUITE : this.#suiteFor(purpose);
    const body = suite.form === 'binary' ? codec.encode(value) : jsonBytes(codec.toJson(value));
    const length = body.length + ENVELOPE_OVERHEAD_BYTES;
    if (length > LIMITS.envelopeBytesMax) {
      const most = LIMITS.envelopeBytesMax;
      throw new HoldfastError('TOO_LARGE', `an envelope of ${length} bytes is over the limit of ${most}`);
    }
    const { dataKey } = this.#keyring.active;
    // From the pool: every byte is written below, and none of an envelope's bytes is secret.
    const envelope = Buffer.allocUnsafe(length);
    writeHeader(envelope, { suite: suite.number, keyIdBytes: dataKey.idBytes });
    this.#nonces.writeNext(envelope, NONCE_OFFSET);
    const fields = { suite: suite.number, keyId: dataKey.id, purpose, place };
    suite.protect(envelope, body, { dataKey, associatedData: this.#associatedData.bytes(fields) });
    return envelope;
  }

  /**
   * Whether a seal at this moment would use the same suite and key, as the envelope says itself: it is not opened.
   * @throws HoldfastError ENVELOPE_UNREADABLE, ENVELOPE_VERSION_UNKNOWN
   */
  isCurrent(envelope: Uint8Array, purpose: Purpose): boolean {
    const { suite, keyId } = readEnvelopeHeader(asBuffer(envelope), () => `a ${purpose} envelope`);
    return suite === this.#suiteFor(purpose).number && keyId === this.#keyring.active.id;
  }

  /**
   * The value of an envelope that was sealed for exactly this purpose and place.
   * @throws HoldfastError ENVELOPE_VERSION_UNKNOWN, ENVELOPE_SUITE_UNKNOWN, KEY_UNKNOWN; anything else that does
   *   not open is ENVELOPE_UNREADABLE. The message names place and key id, never content.
   */
  open<T>(codec: SealedCodec<T>, envelope: Uint8Array, context: SealContext): T {
    return this.openDetailed(codec, envelope, context).value;
  }

  /** Like open, and says under what it was sealed, so that the caller can migrate on read. */
  openDetailed<T>(codec: SealedCodec<T>, envelope: Uint8Array, context: SealContext): Opened<T> {
    const { purpose, place } = context;
    const buffer = asBuffer(envelope);
    const subject = () => `the ${purpose} envelope of ${describePlace(place)}`;
    const header = readEnvelopeHeader(buffer, subject);
    const suite = this.#knownSuite(header.suite, { subject, keyId: header.keyId, purpose });
    const dataKey = this.#knownKey(header.keyId, subject);
    if (placeProblem(place) !== null) throw doesNotOpen(subject, header.keyId);
    const fields = { suite: suite.number, keyId: dataKey.id, purpose, place };
    const associatedData = this.#associatedData.bytes(fields);
    const body = suite.unprotect(buffer, { dataKey, associatedData });
    if (body === null) throw doesNotOpen(subject, header.keyId);
    const current = suite === this.#suiteFor(purpose) && dataKey === this.#keyring.active.dataKey;
    const value = decodeBody({ codec, suite, body, subject });
    return { value, suite: suite.number, keyId: header.keyId, current };
  }

  /** Seals bytes that are already encoded; as JSON `{"base64": …}` while the toggle is off. */
  sealBytes(plaintext: Uint8Array, context: SealContext): Buffer {
    return this.seal(bytesCodec, plaintext, context);
  }

  /** Opens what sealBytes sealed; throws as open does. */
  openBytes(envelope: Uint8Array, context: SealContext): Buffer {
    return asBuffer(this.open(bytesCodec, envelope, context));
  }

  #suiteFor(purpose: Purpose): Suite {
    if (this.#keyring.encryption === 'on' || ALWAYS_ENCRYPTED.has(purpose)) return XAES_SUITE;
    return READABLE_SUITE;
  }

  #knownSuite(number: number, about: { subject: () => string; keyId: KeyId; purpose: Purpose }): Suite {
    const suite = SUITES.get(number);
    if (suite === undefined) {
      throw new HoldfastError(
        'ENVELOPE_SUITE_UNKNOWN',
        `${about.subject()} has the unknown suite ${number}`,
        {
          hint: 'Run the release of holdfast that wrote it, or a later one.',
        },
      );
    }
    const readable = suite === READABLE_SUITE;
    if (readable && (!this.#keyring.acceptsReadable || ALWAYS_ENCRYPTED.has(about.purpose))) {
      throw unreadable(`${about.subject()} under data key ${about.keyId} is not encrypted, and must be`);
    }
    return suite;
  }

  #knownKey(keyId: KeyId, subject: () => string): DataKey {
    const entry = this.#keyring.keys.get(keyId);
    if (entry === undefined || entry.dataKey === null) {
      const why = entry === undefined ? 'which is not in the keyring' : 'which is retired';
      throw new HoldfastError('KEY_UNKNOWN', `${subject()} is under data key ${keyId}, ${why}`);
    }
    return entry.dataKey;
  }
}

interface VerifiedBody<T> {
  readonly codec: SealedCodec<T>;
  readonly suite: Suite;
  readonly body: Buffer;
  readonly subject: () => string;
}

function decodeBody<T>({ codec, suite, body, subject }: VerifiedBody<T>): T {
  try {
    return suite.form === 'binary' ? codec.decode(body) : codec.fromJson(JSON.parse(body.toString('utf8')));
  } catch (thrown) {
    if (thrown instanceof HoldfastError || thrown instanceof InvariantViolation) throw thrown;
    // The original is dropped on purpose: the message of a JSON.parse error quotes what it parsed.
    throw unreadable(`${subject()} opened, but its body does not decode`);
  }
}

function jsonBytes(json: unknown): Buffer {
  const text = JSON.stringify(json) as string | undefined;
  assert(text !== undefined, 'a readable form is a JSON value');
  return Buffer.from(text, 'utf8');
}

function doesNotOpen(subject: () => string, keyId: KeyId): HoldfastError {
  return unreadable(`${subject()} does not open under data key ${keyId}`);
}
