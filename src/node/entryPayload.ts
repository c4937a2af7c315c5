import { present } from '../base/assert.ts';
import { asBuffer } from '../base/bytes.ts';
import { HoldfastError } from '../base/errors.ts';
import type { NodeId } from '../base/ids.ts';
import type { SealedCodec } from '../envelope/codec.ts';
import { type KeyId, readEnvelopeHeader } from '../envelope/format.ts';
import type { Sealer } from '../envelope/sealer.ts';
import type { Codec } from '../proto/registry.ts';
import {
  type Command,
  type CommandBatch,
  type ConfigurationContext,
  commandBatchCodec,
  configurationContextCodec,
  type KeyringStep,
  logPayloadCodec,
} from '../proto/storage.ts';
import type { Place } from '../replication/raft/types.ts';
import { fromReadable, toReadable } from './readable.ts';

/** Today there is one scope; an entry's body is a list of groups so that one scope's key can be destroyed later. */
const SCOPE = 'store';

/** A message sealed as protobuf, or as JSON with bytes in base64 while the toggle is off. */
function sealedForm<T extends object>(codec: Codec<T>): SealedCodec<T> {
  return {
    encode: codec.encode,
    decode: codec.decode,
    toJson: (value) => toReadable(codec.decode(codec.encode(value))),
    // Encoding and decoding once more fills in what was at its default and so was not written.
    fromJson: (json) => codec.decode(codec.encode(fromReadable(json) as T)),
  };
}

const batchForm = sealedForm<CommandBatch>(commandBatchCodec);
const contextForm = sealedForm<ConfigurationContext>(configurationContextCodec);

/** A batch as a log entry's payload: sealed once, for its place. */
export function sealBatch(sealer: Sealer, batch: CommandBatch, place: Place): Buffer {
  const envelope = sealer.seal(batchForm, batch, {
    purpose: 'entry',
    place: entryPlace(place),
    encrypted: batch.commands.some(isSecret),
  });
  return logPayloadCodec.encode({ groups: [{ scope: SCOPE, envelope }], keyring: Buffer.alloc(0) });
}

/** A keyring in its stored form as a log entry's payload. */
export function keyringPayload(stored: Uint8Array, keyringStep: KeyringStep): Buffer {
  return logPayloadCodec.encode({ groups: [], keyring: stored, keyringStep });
}

/** What a log entry's payload holds. */
export type ReadPayload =
  | { readonly kind: 'batch'; readonly envelope: Uint8Array }
  | { readonly kind: 'keyring'; readonly stored: Uint8Array; readonly step: KeyringStep };

/** Opens nothing. @throws HoldfastError VERSION_UNSUPPORTED for a payload of a newer program */
export function readPayload(payload: Uint8Array, place: Place): ReadPayload {
  const { groups, keyring, keyringStep } = logPayloadCodec.decode(payload);
  if (keyring.length > 0)
    return { kind: 'keyring', stored: keyring, step: present(keyringStep, 'step of a keyring') };
  const group = groups[0];
  if (group === undefined || groups.length !== 1 || group.scope !== SCOPE) {
    throw new HoldfastError(
      'VERSION_UNSUPPORTED',
      `the log entry at ${place.index} was written by a newer holdfast`,
      {
        hint: 'update this node',
      },
    );
  }
  return { kind: 'batch', envelope: group.envelope };
}

/** The data key that a batch says it is sealed under. @throws HoldfastError ENVELOPE_UNREADABLE, ENVELOPE_VERSION_UNKNOWN */
export function keyIdOf(envelope: Uint8Array, place: Place): KeyId {
  return readEnvelopeHeader(asBuffer(envelope), () => `the log entry at ${place.index}`).keyId;
}

/** @throws HoldfastError ENVELOPE_UNREADABLE and its like */
export function openBatch(sealer: Sealer, envelope: Uint8Array, place: Place): CommandBatch {
  return sealer.open(batchForm, envelope, { purpose: 'entry', place: entryPlace(place) });
}

/** A membership change's details, sealed for the entry's place. */
export function sealContext(sealer: Sealer, context: ConfigurationContext, place: Place): Buffer {
  return sealer.seal(contextForm, context, { purpose: 'entry', place: entryPlace(place) });
}

/** Null for a change without details, such as leaving a joint configuration. */
export function openContext(sealer: Sealer, context: Uint8Array, place: Place): ConfigurationContext | null {
  if (context.length === 0) return null;
  return sealer.open(contextForm, context, { purpose: 'entry', place: entryPlace(place) });
}

/** A follower's commands on their way to the leader. */
export function sealForward(
  sealer: Sealer,
  commands: readonly Command[],
  from: { readonly nodeId: NodeId; readonly sequence: number },
): Buffer {
  return sealer.seal(
    batchForm,
    { timeMs: 0, commands },
    { purpose: 'forward', place: { kind: 'forward', ...from }, encrypted: commands.some(isSecret) },
  );
}

/** Carries the private key of a CA, the hash of a password or the secret of a webhook: never readable, as its row is not. */
function isSecret(command: Command): boolean {
  const { bootstrap, rotateAuthority, createUser, setPassword, login, resetAdmin, setAlerts } = command;
  return [bootstrap, rotateAuthority, createUser, setPassword, login, resetAdmin, setAlerts].some(Boolean);
}

/** @throws HoldfastError ENVELOPE_UNREADABLE when it was not sealed by that node under that number */
export function openForward(
  sealer: Sealer,
  envelope: Uint8Array,
  from: { readonly nodeId: NodeId; readonly sequence: number },
): readonly Command[] {
  return sealer.open(batchForm, envelope, { purpose: 'forward', place: { kind: 'forward', ...from } })
    .commands;
}

function entryPlace({ index, term }: Place): { kind: 'entry'; index: number; term: number } {
  return { kind: 'entry', index, term };
}
