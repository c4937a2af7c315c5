import { array, constant, integer, oneof, record } from 'fast-check';
import { unreachable } from '../../src/base/assert.ts';
import type { NodeId } from '../../src/base/ids.ts';
import { entryHash } from '../../src/replication/raft/entryHash.ts';
import type { Entry, EntryType, HardState, SnapshotMetadata } from '../../src/replication/raft/types.ts';
import type { ChainEnd, WalBatch, WalContents } from '../../src/replication/wal/types.ts';

export const NODE_A = 'aaaaaaaaaaaaaaaa' as NodeId;
export const NODE_B = 'bbbbbbbbbbbbbbbb' as NodeId;

export const CONFIGURATION = {
  voters: [NODE_A, NODE_B],
  votersOutgoing: [NODE_A],
  learners: ['cccccccccccccccc' as NodeId],
  learnersNext: [],
  autoLeave: true,
};

const EMPTY_CONFIGURATION = {
  voters: [],
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
};

export const ZERO_END: ChainEnd = { index: 0, term: 0, hash: Buffer.alloc(32) };

/** An empty log, as a joiner begins with. */
export const EMPTY: WalContents = {
  hardState: { term: 0, vote: null, commit: 0 },
  snapshot: { ...ZERO_END, configuration: EMPTY_CONFIGURATION },
  entries: [],
};

export interface EntrySpec {
  readonly term: number;
  readonly payload: Uint8Array;
  readonly type?: EntryType;
}

/** Entries that follow `previous`, with a sound hash chain. */
export function entriesAfter(previous: ChainEnd, specs: readonly EntrySpec[]): Entry[] {
  let before = previous;
  return specs.map(({ term, payload, type = 'normal' }) => {
    const place = { index: before.index + 1, term };
    const entry = { ...place, type, payload, hash: entryHash(before.hash, place, type, payload) };
    before = entry;
    return entry;
  });
}

/** `count` entries of one term with payloads that differ. */
export function run(previous: ChainEnd, count: number, term = 1, payloadBytes = 20): Entry[] {
  const specs = Array.from({ length: count }, (_, i) => ({
    term,
    payload: Buffer.alloc(payloadBytes, (previous.index + i + term * 7) % 251),
  }));
  return entriesAfter(previous, specs);
}

export function batchOf(entries: readonly Entry[], hardState: Partial<HardState> = {}): WalBatch {
  const term = entries.at(-1)?.term ?? 1;
  return { hardState: { term, vote: null, commit: 0, ...hardState }, snapshot: null, entries };
}

export function metadataAt(end: ChainEnd): SnapshotMetadata {
  return { index: end.index, term: end.term, hash: end.hash, configuration: CONFIGURATION };
}

/** Contents with bytes as hex and fields in one order, so that equal contents are equal as values and as JSON. */
export function plain({ hardState, snapshot, entries }: WalContents): unknown {
  const hex = (value: Uint8Array): string => Buffer.from(value).toString('hex');
  const { voters, votersOutgoing, learners, learnersNext, autoLeave } = snapshot.configuration;
  return {
    hardState: { term: hardState.term, vote: hardState.vote, commit: hardState.commit },
    snapshot: { index: snapshot.index, term: snapshot.term, hash: hex(snapshot.hash) },
    configuration: { voters, votersOutgoing, learners, learnersNext, autoLeave },
    entries: entries.map(({ index, term, type, hash, payload }) => ({
      index,
      term,
      type,
      hash: hex(hash),
      payload: hex(payload),
    })),
  };
}

/** The plainest log there can be: an array. The suite compares every implementation with it. */
export class ModelLog {
  contents: WalContents;

  constructor(contents: WalContents) {
    this.contents = contents;
  }

  get last(): ChainEnd {
    return this.contents.entries.at(-1) ?? this.contents.snapshot;
  }

  append({ hardState, snapshot, entries }: WalBatch): void {
    const base = snapshot ?? this.contents.snapshot;
    const first = entries[0]?.index ?? Number.MAX_SAFE_INTEGER;
    const before = snapshot === null ? this.contents.entries.filter(({ index }) => index < first) : [];
    this.contents = { hardState, snapshot: base, entries: [...before, ...entries] };
  }

  release(metadata: SnapshotMetadata): void {
    const { hardState, snapshot, entries } = this.contents;
    if (metadata.index <= snapshot.index) return;
    const commit = Math.max(hardState.commit, metadata.index);
    const kept = entries.filter(({ index }) => index > metadata.index);
    this.contents = { hardState: { ...hardState, commit }, snapshot: metadata, entries: kept };
  }
}

export type ModelStep =
  | { readonly kind: 'append'; readonly count: number; readonly payloadBytes: number; readonly cut: number }
  | { readonly kind: 'vote' }
  | { readonly kind: 'commit'; readonly share: number }
  | { readonly kind: 'snapshot'; readonly ahead: number }
  | { readonly kind: 'release'; readonly share: number }
  | { readonly kind: 'roll' }
  | { readonly kind: 'reopen' };

const share = integer({ min: 0, max: 100 });

export const modelSteps = array(
  oneof(
    {
      weight: 8,
      arbitrary: record({
        kind: constant('append' as const),
        count: integer({ min: 1, max: 6 }),
        payloadBytes: integer({ min: 0, max: 700 }),
        cut: oneof(constant(0), integer({ min: 0, max: 8 })),
      }),
    },
    { weight: 1, arbitrary: record({ kind: constant('vote' as const) }) },
    { weight: 3, arbitrary: record({ kind: constant('commit' as const), share }) },
    {
      weight: 1,
      arbitrary: record({ kind: constant('snapshot' as const), ahead: integer({ min: 0, max: 5 }) }),
    },
    { weight: 2, arbitrary: record({ kind: constant('release' as const), share }) },
    { weight: 1, arbitrary: record({ kind: constant('roll' as const) }) },
    { weight: 2, arbitrary: record({ kind: constant('reopen' as const) }) },
  ),
  { minLength: 1, maxLength: 40 },
);

/** The batch that a step means for a log as the model has it, or the base of a release. */
export function batchFor(step: ModelStep, model: ModelLog): WalBatch | null {
  const { hardState, snapshot, entries } = model.contents;
  switch (step.kind) {
    case 'append': {
      const keptIndex = Math.max(hardState.commit, snapshot.index, model.last.index - step.cut);
      const previous = entries.find(({ index }) => index === keptIndex) ?? snapshot;
      const term = step.cut > 0 ? hardState.term + 1 : Math.max(1, hardState.term);
      const added = run(previous, step.count, term, step.payloadBytes);
      const vote = term > hardState.term ? NODE_A : hardState.vote;
      return { hardState: { term, vote, commit: hardState.commit }, snapshot: null, entries: added };
    }
    case 'vote':
      return {
        hardState: { ...hardState, term: hardState.term + 1, vote: NODE_B },
        snapshot: null,
        entries: [],
      };
    case 'commit':
      return {
        hardState: { ...hardState, commit: partWay(hardState.commit, model.last.index, step.share) },
        snapshot: null,
        entries: [],
      };
    case 'snapshot': {
      const index = Math.max(hardState.commit, model.last.index - 2) + step.ahead;
      const term = Math.max(1, hardState.term);
      const metadata = metadataAt({ index, term, hash: Buffer.alloc(32, index % 251) });
      return {
        hardState: { term, vote: term > hardState.term ? null : hardState.vote, commit: index },
        snapshot: metadata,
        entries: run(metadata, step.ahead, term),
      };
    }
    case 'release':
    case 'roll':
    case 'reopen':
      return null;
    default:
      return unreachable(step, 'a step');
  }
}

/** Where a release step releases to, or null when nothing is committed above the base. */
export function releaseFor(step: ModelStep, { contents }: ModelLog): SnapshotMetadata | null {
  if (step.kind !== 'release') return null;
  const index = partWay(contents.snapshot.index, contents.hardState.commit, step.share);
  const entry = contents.entries.find((each) => each.index === index);
  return entry === undefined ? null : metadataAt(entry);
}

function partWay(from: number, to: number, sharePercent: number): number {
  return from + Math.floor(((to - from) * sharePercent) / 100);
}
