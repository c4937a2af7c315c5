import type { Prerequisite } from './machine.ts';
import type { Target, TargetKind, World } from './target.ts';

/** A fault that is in force. */
export interface Injected {
  /** Where and how: for the log. */
  readonly what: string;
  /** The members that cannot do their part while it lasts. */
  readonly holds: readonly string[];
  readonly lastsMs: number;
  heal(): Promise<void>;
  /** Asked after `heal`: whether anything met it. One that nobody met is told of and does not count. */
  struck(): boolean;
}

export interface FaultKind<T extends Target = Target> {
  readonly name: string;
  readonly needs: readonly Prerequisite[];
  /** How often it comes, relative to the others. */
  readonly weight: number;
  /** How many members it takes away: `majority` faults come alone. */
  readonly takes: 'none' | 'one' | 'majority';
  /** It comes alone too: what it promises holds only while nothing else is wrong. */
  readonly alone?: true;
  /** Which kinds of cluster it can be done to. */
  readonly targets: readonly TargetKind[];
  /** Null: not possible at this moment. */
  inject(world: World<T>): Promise<Injected | null>;
  /** The same, done to a follower of a cluster that is well: then its leader leads on, in the same term. */
  readonly toFollower?: (world: World<T>, name: string) => Promise<Injected | null>;
}

export const BOTH: readonly TargetKind[] = ['holdfast', 'etcd'];
export const OURS: readonly TargetKind[] = ['holdfast'];
