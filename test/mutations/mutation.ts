import type { SourcePatch } from '../patches/patchedBuild.ts';

/** Seeds of test/simulation, or one file of tests. */
export type Noticer = 'simulation' | `test/${string}.test.ts`;

/** One protecting line, taken away. Somebody has to notice. */
export interface Mutation extends SourcePatch {
  /** What the line protects: the invariant's number, or a word where there is none. */
  readonly protects: string;
  /** The simulation is tried first where it is named; the tests when it notices nothing. */
  readonly noticedBy: readonly Noticer[];
}

/** Folders and files that the tables name again and again. */
export const RAFT = 'src/replication/raft';
export const RAFT_LOG = 'src/replication/raftLog';
export const WAL = 'src/replication/wal';
export const PEERS = 'src/replication/transport';
export const SCENARIOS = 'test/replication/raft/scenarios/scenarios.test.ts';
