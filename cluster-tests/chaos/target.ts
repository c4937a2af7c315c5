import type { ClusterNode } from '../localCluster.ts';
import type { Disks } from './disks.ts';
import type { Network, Place } from './network.ts';
import type { SeededChoice } from './seededChoice.ts';
import type { Standing } from './standing.ts';

/** One write and one linearizable read, through a client of all nodes. Each throws unless it is done in time. */
export interface Prober {
  write(timeoutMs: number): Promise<void>;
  read(timeoutMs: number): Promise<void>;
  close(): Promise<void>;
}

export type TargetKind = 'holdfast' | 'etcd';

/** A cluster of real processes that is harmed. */
export interface Target {
  readonly kind: TargetKind;
  /** The members that should be there, running or not. */
  members(): readonly string[];
  placeOf(name: string): Place;
  isRunning(name: string): boolean;
  processId(name: string): number;
  start(name: string): void;
  /** SIGKILL; resolves when it is gone. */
  kill(name: string): Promise<void>;
  /** Who leads, by those who answer at once; undefined when nobody says. */
  leader(): Promise<string | undefined>;
  /** Every member answers, and all name the same leader: what is done to one is done to a whole cluster. */
  isWhole(): Promise<boolean>;
  /** What all members agree on; null: they do not, or it cannot be told. */
  standing(): Promise<Standing | null>;
  prober(): Prober;
  lastWords(): string;
  destroy(): Promise<void>;
}

/** Everything that a fault may lay hands on. */
export interface World<T extends Target = Target> {
  readonly target: T;
  readonly network: Network;
  readonly disks: Disks | null;
  readonly random: SeededChoice;
  /** The members that no fault holds now. */
  unharmed(): readonly string[];
  /** A process that ends while this is said of it has ended for a reason. */
  expectExit(name: string): void;
  /** Ends the change of keys that is under way, if keys are changed, and lets none begin until the answer is called. */
  holdKeys(): Promise<() => void>;
  /** What must not be so; the run has failed. */
  violation(text: string): void;
}

export interface MemberOfCluster {
  readonly node: ClusterNode;
  readonly slot: number;
}
