import { InvariantViolation } from '../../base/assert.ts';
import type { Clock } from '../../base/clock.ts';
import { HoldfastError, toHoldfastError } from '../../base/errors.ts';
import type { NodeId } from '../../base/ids.ts';
import type { RandomSource } from '../../base/random.ts';
import type { ControlKey, OperatorKey } from '../../envelope/controlKey.ts';
import type { Fingerprint } from '../../envelope/fingerprint.ts';
import type { HeldKeys } from '../../envelope/heldKeys.ts';
import {
  type EncryptionToggle,
  type Keyring,
  withJwtSecret,
  withNewActiveKey,
  withoutLegacyKeys,
  withoutReadable,
  withSetAtIndex,
  withToggle,
} from '../../envelope/keyring.ts';
import { sealKeyring } from '../../envelope/keyringForm.ts';
import type { KeyChangeProblem } from '../../proto/cluster.ts';
import type { PrepareKeyRequest, PrepareKeyResponse } from '../../proto/peer.ts';
import type {
  KeyChangeMember,
  KeyChangeRow,
  NoteKeyChange,
  StoredConfiguration,
} from '../../proto/storage.ts';
import type { Place } from '../../replication/raft/types.ts';
import type { ReplicatedLog } from '../../replication/replicatedLog.ts';
import { courseOf, isClean, isReady, isUnderWay, membersOf } from '../../store/keyChanges.ts';
import { keyringPayload } from '../entryPayload.ts';
import type { KeyringFile } from '../keyringFile.ts';
import { type KeyKeeper, secretName } from './keyKeeper.ts';
import { POSSESSION_NONCE_BYTES, provesPossession } from './possession.ts';

export interface KeyChangeDriverParts {
  readonly nodeId: NodeId;
  readonly isLeader: () => boolean;
  readonly log: () => Pick<ReplicatedLog, 'propose' | 'status'>;
  readonly change: () => KeyChangeRow | null;
  readonly configuration: () => StoredConfiguration;
  readonly nameOf: (nodeId: NodeId) => string;
  readonly controlKeys: HeldKeys<ControlKey>;
  readonly keyring: KeyringFile;
  readonly keeper: KeyKeeper;
  /** @throws HoldfastError */
  readonly ask: (to: NodeId, request: PrepareKeyRequest) => Promise<PrepareKeyResponse>;
  /** Commits it. @throws HoldfastError */
  readonly note: (note: NoteKeyChange) => Promise<void>;
  readonly clock: Clock;
  readonly random: RandomSource;
}

const NOTHING = Buffer.alloc(0);

const NO_NOTE: Omit<NoteKeyChange, 'id' | 'note'> = {
  newFingerprint: '',
  previousFingerprint: '',
  nodeId: '',
  rewritten: 0,
  remaining: 0,
};

type Problems = Map<NodeId, HoldfastError>;

interface Proving {
  readonly change: KeyChangeRow;
  readonly key: OperatorKey;
  /** By the state; they are not noted again. */
  readonly proved: ReadonlySet<string>;
  readonly problems: Problems;
}

interface Asking {
  readonly change: KeyChangeRow;
  /** Empty: the member has the key already, or is to be given none. */
  readonly wrapped: Buffer;
  /** The member is to send the key. */
  readonly wanted: boolean;
  /** What its proof is held against. */
  readonly key?: OperatorKey;
  readonly problems: Problems;
}

/**
 * The leader's part of a change of keys: looks at what the state says of it and does the next thing, again and again. It
 * keeps nothing that a next leader would need, so that any leader goes on where another one stopped.
 */
export class KeyChangeDriver {
  readonly #parts: KeyChangeDriverParts;
  /** What holds the change up, by member: at most one each. */
  #problems = new Map<NodeId, HoldfastError>();
  /** A keyring that is on its way through the log. */
  #proposed: Place | null = null;
  #busy = false;

  constructor(parts: KeyChangeDriverParts) {
    this.#parts = parts;
  }

  /** What holds the change up; known at the leader only. */
  get problems(): readonly KeyChangeProblem[] {
    return [...this.#problems].map(([nodeId, { code, message: reason, hint = '' }]) => {
      return { nodeId, name: this.#parts.nameOf(nodeId), code, reason, hint };
    });
  }

  /** A keyring of ours is in the log and not applied: nothing is sealed until it is known under which key. */
  get isDeciding(): boolean {
    return this.#proposed !== null;
  }

  /** To be called for each applied index, and when the leadership changes. */
  applied(place: Place): void {
    const proposed = this.#proposed;
    if (proposed !== null && (place.index >= proposed.index || place.term > proposed.term))
      this.#proposed = null;
  }

  /** A new leader may have a keyring of the last one in its log: nothing is sealed before that is applied. */
  leadershipChanged(): void {
    this.#problems = new Map();
    const change = this.#parts.change();
    const { lastIndex: index, applied, term } = this.#parts.log().status();
    const mayHold = change !== null && isUnderWay(change) && applied < index;
    this.#proposed = this.#parts.isLeader() && mayHold ? { index, term } : null;
  }

  /** To be called now and then. Never rejects: what does not work is tried again. */
  async step(): Promise<void> {
    if (this.#busy || !this.#parts.isLeader() || this.#proposed !== null) return;
    const change = this.#parts.change();
    if (change === null || !isUnderWay(change)) {
      this.#problems = new Map();
      return;
    }
    this.#busy = true;
    const problems = new Map<NodeId, HoldfastError>();
    try {
      if (change.phase === 'preparing') await this.#prepare(change, problems);
      else this.#finish(change, problems);
    } catch (thrown) {
      problems.set(this.#parts.nodeId, expected(thrown));
    } finally {
      this.#problems = problems;
      this.#busy = false;
    }
  }

  async #prepare(change: KeyChangeRow, problems: Problems): Promise<void> {
    if (courseOf(change.kind).secret !== null) {
      const key = await this.#key(change, problems);
      if (key === null) return;
      const proved = new Set(change.members.flatMap((member) => (member.proved ? member.nodeId : [])));
      const everybody = membersOf(this.#parts.configuration());
      // Before it comes into force all prove it once more: one may have lost it since, and could not start again.
      const asked = everybody.filter((nodeId) => this.#isReady() || !proved.has(nodeId)) as NodeId[];
      await this.#collectProofs(asked, { change, key, proved, problems });
      if (problems.size > 0) return;
    }
    const now = this.#parts.change();
    if (now?.newFingerprint === change.newFingerprint && this.#isReady()) this.#propose(now, 'activate');
  }

  #isReady(): boolean {
    const now = this.#parts.change();
    return now !== null && isReady(now, this.#parts.configuration());
  }

  #finish(change: KeyChangeRow, problems: Problems): void {
    if (isClean(change, this.#parts.configuration())) {
      this.#propose(change, 'retire');
      return;
    }
    for (const nodeId of membersOf(this.#parts.configuration()) as NodeId[]) {
      const member = change.members.find((one) => one.nodeId === nodeId);
      const problem = leftAt(member);
      if (problem !== null) problems.set(nodeId, problem);
    }
  }

  /** The new control key; null: not yet. */
  async #key(change: KeyChangeRow, problems: Problems): Promise<OperatorKey | null> {
    const { keeper, note } = this.#parts;
    const held = keeper.held(change.kind).findStored(change.newFingerprint);
    if (held !== null) return held;
    const holders = change.members.filter(({ proved }) => proved);
    if (change.newFingerprint !== '' && holders.length > 0)
      return await this.#fetch(change, {
        holders: holders.map(({ nodeId }) => nodeId as NodeId),
        problems,
      });
    const key = change.source === 'environment' ? this.#provided() : keeper.make(change);
    await note({
      ...NO_NOTE,
      id: change.id,
      note: 'prepared',
      newFingerprint: key.fingerprint,
      previousFingerprint: keeper.inForce(change.kind),
    });
    return null;
  }

  /** What HOLDFAST_CONTROL_KEY says, and no other key that is still held. */
  #provided(): ControlKey {
    const { controlKeys, keyring } = this.#parts;
    const { replacedControlKeys: replaced } = keyring.keyring;
    const known = new Set<string>([keyring.controlKey.fingerprint, ...replaced]);
    const [found] = controlKeys.all;
    if (found !== undefined && !known.has(found.fingerprint)) return found;
    throw new HoldfastError(
      'CONTROL_KEY_MISMATCH',
      'the control key that the leader was started with is the one in force, or was replaced before',
      {
        hint: 'supply the new one in HOLDFAST_CONTROL_KEY, the present one in HOLDFAST_LEGACY_CONTROL_KEYS, and start the node again',
      },
    );
  }

  /** From whoever has proved it: this node leads, and was not given it by the leader before. */
  async #fetch(
    change: KeyChangeRow,
    { holders, problems }: { readonly holders: readonly NodeId[]; readonly problems: Problems },
  ): Promise<OperatorKey | null> {
    const { keeper } = this.#parts;
    const fingerprint = change.newFingerprint as Fingerprint;
    for (const nodeId of holders) {
      const response = await this.#ask(nodeId, { change, wrapped: NOTHING, wanted: true, problems });
      if (response === null) continue;
      return keeper.unwrap(response.wrapped, { change, fingerprint });
    }
    return null;
  }

  async #collectProofs(asked: readonly NodeId[], proving: Proving): Promise<void> {
    const { nodeId: own, keeper, note } = this.#parts;
    const { change, key, proved, problems } = proving;
    await Promise.all(
      asked.map(async (nodeId) => {
        if (nodeId !== own) {
          const wrapped = change.source === 'file' ? keeper.wrapFor(nodeId, key, change.id) : NOTHING;
          if ((await this.#ask(nodeId, { change, wrapped, wanted: false, key, problems })) === null) return;
        }
        if (proved.has(nodeId)) return;
        const { fingerprint: newFingerprint } = key;
        await note({ ...NO_NOTE, id: change.id, note: 'proved', nodeId, newFingerprint });
      }),
    );
  }

  /** Null when the member does not answer as it should; the reason is kept for the status. */
  async #ask(
    nodeId: NodeId,
    { change, wrapped, wanted, key, problems }: Asking,
  ): Promise<PrepareKeyResponse | null> {
    const nonce = this.#parts.random.bytes(POSSESSION_NONCE_BYTES);
    const { id: changeId, newFingerprint } = change;
    try {
      const response = await this.#parts.ask(nodeId, {
        changeId,
        newFingerprint,
        wrapped,
        nonce,
        wanted,
      });
      if (key !== undefined && !provesPossession(key, { changeId, nodeId, nonce }, response.proof)) {
        throw new HoldfastError(
          'CONTROL_KEY_MISMATCH',
          `it did not prove that it holds the new ${secretName(change.kind)}`,
          { hint: 'look into the log of that node; if that does not help, start it again' },
        );
      }
      return response;
    } catch (thrown) {
      problems.set(nodeId, expected(thrown));
      return null;
    }
  }

  #propose(change: KeyChangeRow, step: 'activate' | 'retire'): void {
    const { keyring, controlKeys, random } = this.#parts;
    const next = step === 'retire' ? this.#retired(change) : this.#activated(change);
    const rekeys = step === 'activate' && courseOf(change.kind).secret === 'control';
    const controlKey = rekeys ? controlKeys.find(change.newFingerprint) : keyring.controlKey;
    if (controlKey === null) return;
    const outcome = this.#parts.log().propose((place) => {
      const stored = sealKeyring(withSetAtIndex(next, place.index), controlKey, random);
      return keyringPayload(stored, { changeId: change.id, step });
    });
    if ('place' in outcome) this.#proposed = outcome.place;
  }

  #retired({ kind }: KeyChangeRow): Keyring {
    const { keyring } = this.#parts.keyring;
    return kind === 'encryption' ? withoutReadable(keyring) : withoutLegacyKeys(keyring);
  }

  #activated({ kind, encryption, newFingerprint }: KeyChangeRow): Keyring {
    const { keyring, random, clock } = this.#parts;
    if (kind === 'encryption') return withToggle(keyring.keyring, encryption as EncryptionToggle);
    if (kind === 'jwt') return withJwtSecret(keyring.keyring, newFingerprint as Fingerprint);
    const { fingerprint: replaces } = keyring.controlKey;
    const replaced = courseOf(kind).secret === 'control' ? { replaces } : {};
    return withNewActiveKey(keyring.keyring, { random, clock, ...replaced });
  }
}

/** A broken invariant is for nobody to go on from. */
function expected(thrown: unknown): HoldfastError {
  if (thrown instanceof InvariantViolation) throw thrown;
  return toHoldfastError(thrown);
}

/** Why old keys cannot go because of this member, or null. */
function leftAt(member: KeyChangeMember | undefined): HoldfastError | null {
  if (member === undefined || !member.counted) {
    return new HoldfastError('KEY_CHANGE_PENDING', 'it has not told yet what it has left under old keys', {
      hint: 'if it is down, start it, or take it out: holdfast member remove',
    });
  }
  if (member.remaining === 0) return null;
  return new HoldfastError('KEY_CHANGE_PENDING', `it has ${member.remaining} envelopes left under old keys`, {
    hint: 'its status names the files: holdfast status',
  });
}
