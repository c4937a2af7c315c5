import { asBuffer } from '../../base/bytes.ts';
import { HoldfastError } from '../../base/errors.ts';
import type { NodeId } from '../../base/ids.ts';
import type { RandomSource } from '../../base/random.ts';
import type { OperatorKey } from '../../envelope/controlKey.ts';
import { type Fingerprint, isFingerprint } from '../../envelope/fingerprint.ts';
import type { HeldKeys } from '../../envelope/heldKeys.ts';
import { unwrapOperatorKey, wrapOperatorKey } from '../../envelope/keyTransfer.ts';
import type { PrepareKeyRequest, PrepareKeyResponse } from '../../proto/peer.ts';
import type { KeyChangeRow } from '../../proto/storage.ts';
import { courseOf } from '../../store/keyChanges.ts';
import type { KeyringFile } from '../keyringFile.ts';
import type { RunningKeys } from '../keys.ts';
import { POSSESSION_NONCE_BYTES, possessionProof } from './possession.ts';

export interface KeyKeeperParts {
  readonly nodeId: NodeId;
  readonly keys: RunningKeys;
  readonly keyring: KeyringFile;
  readonly change: () => KeyChangeRow | null;
  /** The index up to which the state is on disk. */
  readonly durableIndex: () => number;
  /** All is applied that the log held when this node started. */
  readonly isReplayed: () => boolean;
  readonly random: RandomSource;
}

const NOTHING = Buffer.alloc(0);
const SECRETS = ['control', 'jwt'] as const;
type Secret = (typeof SECRETS)[number];
const SECRET_NAMES: Readonly<Record<Secret, string>> = { control: 'control key', jwt: 'JWT secret' };

const secretOf = (kind: string): Secret => courseOf(kind).secret ?? 'control';
export const secretName = (kind: string): string => SECRET_NAMES[secretOf(kind)];

/** A member's side of a rekey: takes the new control key in, proves it, and gives up the old one when it is over. */
export class KeyKeeper {
  readonly #parts: KeyKeeperParts;
  #made: { readonly changeId: string; readonly fingerprint: Fingerprint } | null = null;
  /** What the key file was last brought in line with. */
  #tidied = '';

  constructor(parts: KeyKeeperParts) {
    this.#parts = parts;
  }

  /**
   * The leader brings the new control key, or asks for it. It is on disk before this answers.
   * @throws HoldfastError UNAVAILABLE (this node has not heard of the rekey yet), CONTROL_KEY_MISMATCH (it does not hold
   *   the key, or what was brought is another), KEY_FILE_INVALID (it cannot store it), INVALID_ARGUMENT
   */
  prepare(from: NodeId, request: PrepareKeyRequest): PrepareKeyResponse {
    const { nodeId } = this.#parts;
    const { changeId, newFingerprint: fingerprint, nonce, wanted } = request;
    if (!isFingerprint(fingerprint)) throw malformed('new_fingerprint');
    if (nonce.length !== POSSESSION_NONCE_BYTES) throw malformed('nonce');
    const change = this.#prepared(changeId, fingerprint);
    const key = this.#take(request, { change, fingerprint });
    const proof = possessionProof(key, { changeId, nodeId, nonce });
    return { proof, wrapped: wanted ? this.wrapFor(from, key, changeId) : NOTHING };
  }

  /** A new control key for this change, stored; the same one again. @throws HoldfastError KEY_FILE_INVALID, FILE_UNREADABLE */
  make({ id: changeId, kind }: KeyChangeRow): OperatorKey {
    const keys = this.held(kind);
    const before = this.#made?.changeId === changeId ? keys.findStored(this.#made.fingerprint) : null;
    const key = before ?? keys.make();
    this.#made = { changeId, fingerprint: key.fingerprint };
    return key;
  }

  /** The keys of the kind that a change is about. */
  held(kind: string): HeldKeys {
    return this.#keys(secretOf(kind));
  }

  /** The fingerprint of the key of that kind that is in force. */
  inForce(kind: string): Fingerprint {
    return this.#inForce(secretOf(kind));
  }

  /** A control key on its way to another member. */
  wrapFor(to: NodeId, key: OperatorKey, changeId: string): Buffer {
    const { keyring, random } = this.#parts;
    const transfer = { changeId, to, fingerprint: key.fingerprint };
    return wrapOperatorKey(key, { under: keyring.controlKey, transfer, random });
  }

  /** The key that another member has wrapped for this one. @throws HoldfastError as prepare */
  unwrap(
    wrapped: Uint8Array,
    { change, fingerprint }: { change: KeyChangeRow; fingerprint: Fingerprint },
  ): OperatorKey {
    const { nodeId, keyring } = this.#parts;
    const { id: changeId, kind } = change;
    const transfer = { changeId, to: nodeId, fingerprint };
    const bytes = unwrapOperatorKey(asBuffer(wrapped), { under: keyring.controlKey, transfer });
    if (bytes === null) {
      throw new HoldfastError(
        'CONTROL_KEY_MISMATCH',
        `the new ${secretName(kind)} that was sent does not open`,
        {
          field: 'wrapped',
          hint: 'the leader sends it again; if that does not help, start this node again',
        },
      );
    }
    return this.held(kind).take(bytes, fingerprint);
  }

  /**
   * Brings the key files in line with what has become of the changes of keys; to be called now and then.
   * @throws HoldfastError KEY_FILE_INVALID, FILE_UNREADABLE
   */
  tidy(): void {
    const change = this.#parts.change();
    if (change === null) return;
    const keyring = this.#parts.keyring.keyring;
    // I47: not before a restart would find the keyring without it, and a state that needs no other.
    const isSettled = this.#parts.durableIndex() >= keyring.setAtIndex;
    const isReplayed = this.#parts.isReplayed();
    const inForce = SECRETS.map((secret) => this.#inForce(secret));
    const { id, phase, newFingerprint } = change;
    const seen = [id, phase, newFingerprint, ...inForce, isSettled, isReplayed, this.#made?.fingerprint].join(
      ' ',
    );
    if (seen === this.#tidied) return;
    for (const secret of SECRETS) {
      this.#keys(secret).inForce(this.#inForce(secret));
      if (isReplayed) this.#dropUnwanted(secret, change);
      if (isSettled) this.#dropReplaced(secret, change);
    }
    this.#tidied = seen;
  }

  /** I47: before the log of the last run is replayed, this node may have proved a key that its state does not know yet. */
  #dropUnwanted(secret: Secret, { id, kind, phase, newFingerprint }: KeyChangeRow): void {
    const wanted = new Set<string>([this.#inForce(secret)]);
    if (phase === 'preparing' && courseOf(kind).secret === secret) {
      wanted.add(newFingerprint);
      // One that was just made here need not be in the state yet.
      if (this.#made?.changeId === id) wanted.add(this.#made.fingerprint);
    }
    const keys = this.#keys(secret);
    for (const fingerprint of keys.prepared) if (!wanted.has(fingerprint)) keys.remove(fingerprint);
  }

  #dropReplaced(secret: Secret, change: KeyChangeRow): void {
    const { phase, previousFingerprint, replacedFingerprints } = change;
    const replaced =
      phase === 'finished' ? [...replacedFingerprints, previousFingerprint] : replacedFingerprints;
    for (const fingerprint of replaced)
      if (fingerprint !== this.#inForce(secret)) this.#keys(secret).remove(fingerprint);
  }

  #keys(secret: Secret): HeldKeys {
    const { control, jwt } = this.#parts.keys;
    return secret === 'jwt' ? jwt : control;
  }

  #inForce(secret: Secret): Fingerprint {
    const { keyring } = this.#parts;
    return secret === 'jwt' ? keyring.keyring.jwtSecretFingerprint : keyring.controlKey.fingerprint;
  }

  #prepared(changeId: string, fingerprint: string): KeyChangeRow {
    const change = this.#parts.change();
    const known = change !== null && change.id === changeId && change.phase === 'preparing';
    if (known && change.newFingerprint === fingerprint) return change;
    throw new HoldfastError('UNAVAILABLE', 'this node has not heard of this control key yet', {
      hint: 'ask again a little later',
    });
  }

  #take(
    { wrapped }: PrepareKeyRequest,
    named: { readonly change: KeyChangeRow; readonly fingerprint: Fingerprint },
  ): OperatorKey {
    const held = this.held(named.change.kind).findStored(named.fingerprint);
    if (held !== null) return held;
    if (wrapped.length > 0) return this.unwrap(wrapped, named);
    throw new HoldfastError(
      'CONTROL_KEY_MISMATCH',
      `this node does not hold ${secretName(named.change.kind)} ${named.fingerprint}`,
      {
        field: 'control_key',
        hint: 'supply it in HOLDFAST_CONTROL_KEY, the present one in HOLDFAST_LEGACY_CONTROL_KEYS, and start the node again',
      },
    );
  }
}

function malformed(field: string): HoldfastError {
  return new HoldfastError('INVALID_ARGUMENT', 'the request for a proof is malformed', {
    field,
    hint: 'run the same release of holdfast on all nodes',
  });
}
