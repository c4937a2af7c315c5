import type { LogIndex, NodeId } from '../../src/base/ids.ts';
import type { Sealer } from '../../src/envelope/sealer.ts';
import { openBatch, openContext, readPayload } from '../../src/node/entryPayload.ts';
import { snapshotMetadata } from '../../src/node/snapshotMetadata.ts';
import type { CommandBatch, Outcome } from '../../src/proto/storage.ts';
import { membersOf } from '../../src/replication/raft/configuration.ts';
import type { CommittedEntry, StateMachine, StateSnapshot } from '../../src/replication/replicatedLog.ts';
import type { Store } from '../../src/store/store.ts';
import type { AppliedEntry, AppliedPlace } from '../../src/store/types.ts';

/** Small, so that apply waits for the disk in many runs. */
const UNFLUSHED_BYTES_MAX = 4_000;

export interface AppliedEvent {
  readonly entry: CommittedEntry;
  readonly batch: CommandBatch | null;
  readonly outcomes: readonly Outcome[];
}

export interface MachineStateParts {
  readonly store: Store;
  readonly sealer: Sealer;
  readonly onApplied: (event: AppliedEvent) => void;
  readonly onInstalled: (index: LogIndex) => void;
  readonly onLeadership: (status: { isLeader: boolean; leader: NodeId | null; term: number }) => void;
}

/** What the log drives on a machine: the real store, and word of what happens to it. */
export class MachineState implements StateMachine {
  readonly #parts: MachineStateParts;

  constructor(parts: MachineStateParts) {
    this.#parts = parts;
  }

  apply(entry: CommittedEntry): void {
    const { store, onApplied } = this.#parts;
    const opened = this.#open(entry);
    const { outcomes } = store.apply(opened);
    onApplied({ entry, batch: opened.kind === 'commands' ? opened.batch : null, outcomes });
  }

  #open(entry: CommittedEntry): AppliedEntry {
    const { sealer } = this.#parts;
    const place: AppliedPlace = { index: entry.index, term: entry.term, hash: entry.hash };
    if (entry.type === 'empty') return { kind: 'nothing', place };
    if (entry.type === 'configuration') return this.#configuration(entry, place);
    const read = readPayload(entry.payload, entry);
    return read.kind === 'batch'
      ? { kind: 'commands', place, batch: openBatch(sealer, read.envelope, entry) }
      : { kind: 'keyring', place, step: read.step };
  }

  #configuration(entry: CommittedEntry, place: AppliedPlace): AppliedEntry {
    const { store, sealer } = this.#parts;
    const context = entry.change === null ? null : openContext(sealer, entry.change.context, entry);
    const members = new Set<string>(membersOf(entry.configuration));
    return {
      kind: 'configuration',
      place,
      configuration: entry.configuration,
      removed: store.members.map(({ nodeId }) => nodeId).filter((nodeId) => !members.has(nodeId)),
      member: context?.member ?? null,
      timeMs: context?.timeMs ?? store.logTimeMs,
    };
  }

  isBehind(): boolean {
    return this.#parts.store.unflushedBytes > UNFLUSHED_BYTES_MAX;
  }

  async openSnapshot(): Promise<StateSnapshot> {
    const snapshot = await this.#parts.store.openSnapshot();
    return {
      metadata: snapshotMetadata(snapshot.head),
      keyring: Buffer.alloc(0),
      rows: () => snapshot.rows(),
      close: () => snapshot.close(),
    };
  }

  async installSnapshot(snapshot: StateSnapshot): Promise<void> {
    await this.#parts.store.installSnapshot({ rows: snapshot.rows(), expected: snapshot.metadata });
    this.#parts.onInstalled(snapshot.metadata.index);
  }

  leadershipChanged(status: { isLeader: boolean; leader: NodeId | null; term: number }): void {
    this.#parts.onLeadership(status);
  }

  forwarded(): boolean {
    return false;
  }

  forwardRefused(): void {}

  /** Everyone can be reached under his own name here. */
  peerAddress(nodeId: NodeId): string {
    return `${nodeId}:7441`;
  }
}
