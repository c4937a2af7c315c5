import { unreachable } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import { HoldfastError } from '../base/errors.ts';
import type { NodeId } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import type { Logger } from '../base/logger.ts';
import { RareLines } from '../base/rareLines.ts';
import { unreadable } from '../envelope/format.ts';
import { keyIdAt } from '../envelope/keyring.ts';
import type { Sealer } from '../envelope/sealer.ts';
import type { CommandBatch } from '../proto/storage.ts';
import type { Place } from '../replication/raft/types.ts';
import type { CommittedEntry, StateMachine, StateSnapshot } from '../replication/replicatedLog.ts';
import type { SealedRows } from '../store/snapshot.ts';
import type { Store } from '../store/store.ts';
import type { AppliedPlace } from '../store/types.ts';
import type { DiskReserve } from './diskReserve.ts';
import {
  keyIdOf,
  openBatch,
  openContext,
  openForward,
  type ReadPayload,
  readPayload,
} from './entryPayload.ts';
import type { KeyringFile } from './keyringFile.ts';
import type { Leadership } from './leadership.ts';
import type { LogClock } from './logClock.ts';
import type { Membership } from './membership.ts';
import type { Read } from './read.ts';
import { snapshotMetadata } from './snapshotMetadata.ts';
import type { StateGuard } from './stateGuard.ts';
import type { Submit } from './submit.ts';
import { isTakenOut, TAKEN_OUT_WARNING } from './takenOut.ts';

export interface StateMachineParts {
  readonly nodeId: NodeId;
  readonly store: Store;
  readonly sealer: Sealer;
  readonly submit: Submit;
  readonly read: Read;
  readonly leadership: Leadership;
  readonly logClock: LogClock;
  readonly membership: Membership;
  readonly peers: { addressOf(nodeId: NodeId): string | null };
  readonly keyring: KeyringFile;
  readonly keyChange: () => KeyChangeHooks;
  readonly guard: Pick<StateGuard, 'applied' | 'replaced' | 'doubt'>;
  readonly reserve: Pick<DiskReserve, 'requireRoom'>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What changes of keys hear of the log. */
export interface KeyChangeHooks {
  /** Nothing is to be proposed now: under which key it has to be sealed is being decided. */
  readonly isDeciding: boolean;
  applied(place: Place): void;
  leadershipChanged(): void;
  /** Another node's state is in place of this one's. */
  stateReplaced(): void;
}

/** What the replicated log drives: opens each entry, applies it to the store, and answers those who wait here. */
export class NodeStateMachine implements StateMachine {
  readonly #parts: StateMachineParts;
  readonly #lines: RareLines;
  /** Called when a snapshot has taken the place of the state. */
  onInstalled: () => void = () => undefined;

  constructor(parts: StateMachineParts) {
    this.#parts = parts;
    this.#lines = new RareLines(parts.clock);
  }

  apply(entry: CommittedEntry): void {
    const place: AppliedPlace = { index: entry.index, term: entry.term, hash: entry.hash };
    switch (entry.type) {
      case 'empty':
        this.#parts.submit.takeProposed(entry);
        this.#parts.store.apply({ kind: 'nothing', place });
        break;
      case 'configuration':
        this.#parts.submit.takeProposed(entry);
        this.#applyConfiguration(entry, place);
        break;
      case 'normal':
        this.#applyNormal(entry, place);
        break;
      default:
        unreachable(entry.type, 'entry type');
    }
    this.#parts.keyChange().applied(entry);
    this.#parts.guard.applied(entry.index);
    this.#parts.read.applied(entry.index);
  }

  #applyNormal(entry: CommittedEntry, place: AppliedPlace): void {
    const { store, sealer, submit } = this.#parts;
    const proposed = submit.takeProposed(entry);
    const read = readPayload(entry.payload, entry);
    if (read.kind === 'keyring') {
      this.#applyKeyring(read, place);
      return;
    }
    // I45: what is sealed under another key than the one in force at its index counts on no node, opened or not.
    const due = keyIdAt(sealer.keyring, entry.index);
    if (due === null)
      throw unreadable(`entry ${entry.index} is older than the data keys that are known here`);
    if (keyIdOf(read.envelope, entry) !== due) {
      store.apply({ kind: 'nothing', place });
      this.#passedOver(proposed, { ...read, place: entry });
      return;
    }
    const batch = proposed ?? openBatch(sealer, read.envelope, entry);
    const { outcomes } = store.apply({ kind: 'commands', place, batch });
    submit.applied(batch, outcomes);
  }

  #applyKeyring({ stored, step }: Extract<ReadPayload, { kind: 'keyring' }>, place: AppliedPlace): void {
    const { store, sealer, keyring } = this.#parts;
    // Before the state can say on disk that it is in force: a restart needs it to open what comes after.
    const { accepted } = store.apply({ kind: 'keyring', place, step });
    if (accepted) sealer.setKeyring(keyring.replace(stored));
    this.#parts.submit.resume();
  }

  /** Whoever waits for it here sends it again: it was applied nowhere. */
  #passedOver(
    proposed: CommandBatch | null,
    { envelope, place }: { readonly envelope: Uint8Array; readonly place: Place },
  ): void {
    const { sealer, submit } = this.#parts;
    try {
      submit.passedOver(proposed ?? openBatch(sealer, envelope, place));
    } catch (thrown) {
      // Under a key that is not known here any more: nobody waits for what is so old.
      if (!(thrown instanceof HoldfastError)) throw thrown;
    }
  }

  #applyConfiguration(entry: CommittedEntry, place: AppliedPlace): void {
    const { store, sealer } = this.#parts;
    const { configuration } = entry;
    const context = entry.change === null ? null : openContext(sealer, entry.change.context, entry);
    const present = new Set([
      ...configuration.voters,
      ...configuration.votersOutgoing,
      ...configuration.learners,
      ...configuration.learnersNext,
    ]);
    store.apply({
      kind: 'configuration',
      place,
      configuration,
      removed: store.members
        .map((member) => member.nodeId)
        .filter((nodeId) => !present.has(nodeId as NodeId)),
      member: context?.member ?? null,
      timeMs: context?.timeMs ?? store.logTimeMs,
    });
    this.#parts.membership.configurationApplied(configuration);
    if (isTakenOut(store, this.#parts.nodeId)) {
      this.#parts.logger.warn({ index: entry.index }, TAKEN_OUT_WARNING);
    }
  }

  isBehind(): boolean {
    return this.#parts.store.unflushedBytes > LIMITS.unflushedBytesMax;
  }

  async openSnapshot(): Promise<StateSnapshot> {
    const { store, keyring, guard } = this.#parts;
    throwDoubt(guard);
    const snapshot = await store.openSnapshot();
    return {
      metadata: snapshotMetadata(snapshot.head),
      keyring: keyring.stored(),
      rows: () => undoubted(snapshot.rows(), guard),
      close: () => snapshot.close(),
    };
  }

  async installSnapshot(snapshot: StateSnapshot): Promise<void> {
    const { keyring, sealer, reserve } = this.#parts;
    await reserve.requireRoom();
    sealer.setKeyring(keyring.replace(snapshot.keyring));
    const rows = withRoom(snapshot.rows(), reserve);
    await this.#parts.store.installSnapshot({ rows, expected: snapshot.metadata });
    this.#parts.submit.stateReplaced();
    this.#parts.read.applied(snapshot.metadata.index);
    this.#parts.guard.replaced();
    this.#parts.keyChange().stateReplaced();
    this.onInstalled();
  }

  leadershipChanged(status: {
    readonly isLeader: boolean;
    readonly leader: NodeId | null;
    readonly term: number;
  }): void {
    this.#parts.leadership.changed(status);
    this.#parts.logClock.leadershipChanged();
    this.#parts.keyChange().leadershipChanged();
    this.#parts.submit.leadershipChanged();
  }

  forwarded(forward: {
    readonly from: NodeId;
    readonly sequence: number;
    readonly envelope: Uint8Array;
  }): boolean {
    const { sealer, submit, logger } = this.#parts;
    try {
      const from = { nodeId: forward.from, sequence: forward.sequence };
      return submit.proposeForwarded(openForward(sealer, forward.envelope, from));
    } catch (thrown) {
      if (!(thrown instanceof HoldfastError)) throw thrown;
      const { from } = forward;
      if (this.#lines.isDue(from))
        logger.warn({ from, code: thrown.code }, 'a forwarded batch does not open');
      return false;
    }
  }

  forwardRefused(refusal: { readonly from: NodeId; readonly sequence: number }): void {
    this.#parts.submit.forwardRefused(refusal);
  }

  peerAddress(nodeId: NodeId): string | null {
    return this.#parts.peers.addressOf(nodeId);
  }
}

function throwDoubt({ doubt }: Pick<StateGuard, 'doubt'>): void {
  if (doubt !== null) throw doubt;
}

/** A doubt that comes up on the way ends it: a snapshot without its last rows is never installed. */
async function* undoubted(rows: SealedRows, guard: Pick<StateGuard, 'doubt'>): SealedRows {
  for await (const portion of rows) {
    throwDoubt(guard);
    yield portion;
  }
  throwDoubt(guard);
}

/** Both states lie on the disk until the new one is in force: nobody knows before how large that is. */
async function* withRoom(rows: SealedRows, reserve: Pick<DiskReserve, 'requireRoom'>): SealedRows {
  for await (const portion of rows) {
    await reserve.requireRoom();
    yield portion;
  }
}
