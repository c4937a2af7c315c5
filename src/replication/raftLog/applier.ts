import { assert } from '../../base/assert.ts';
import type { Clock } from '../../base/clock.ts';
import type { LogIndex } from '../../base/ids.ts';
import { applyConfigurationChange } from '../raft/configuration.ts';
import { decodeConfigurationChange } from '../raft/configurationCodec.ts';
import type { Configuration, Entry, SnapshotMetadata } from '../raft/types.ts';
import type { CommittedEntry } from '../replicatedLog.ts';

const ENTRIES_PER_CLOCK_READING = 16;

/** Hands committed entries to the state machine, in order, each index once, a slice of time at a turn. */
export class Applier {
  readonly #clock: Clock;
  readonly #apply: (entry: CommittedEntry) => void;
  readonly #sliceMs: number;
  #queue: Entry[] = [];
  #head = 0;
  #applied: LogIndex;
  #configuration: Configuration;
  #stateMissing: boolean;

  constructor(options: {
    clock: Clock;
    sliceMs: number;
    applied: LogIndex;
    configuration: Configuration;
    stateMissing?: boolean;
    apply: (entry: CommittedEntry) => void;
  }) {
    this.#clock = options.clock;
    this.#sliceMs = options.sliceMs;
    this.#applied = options.applied;
    this.#configuration = options.configuration;
    this.#stateMissing = options.stateMissing ?? false;
    this.#apply = options.apply;
  }

  get applied(): LogIndex {
    return this.#applied;
  }

  /** The configuration at `applied`. */
  get configuration(): Configuration {
    return this.#configuration;
  }

  /** The state of `applied` is lost; a snapshot has to come first. */
  get stateMissing(): boolean {
    return this.#stateMissing;
  }

  get idle(): boolean {
    return this.#head === this.#queue.length;
  }

  add(entries: readonly Entry[]): void {
    for (const entry of entries) this.#queue.push(entry);
  }

  /** Applies what fits into a slice; whether anything was applied. */
  slice(): boolean {
    if (this.idle) return false;
    const endMs = this.#clock.monotonicMs() + this.#sliceMs;
    let count = 0;
    for (let entry = this.#queue[this.#head]; entry !== undefined; entry = this.#queue[this.#head]) {
      this.#head += 1;
      this.#applyOne(entry);
      count += 1;
      if (count % ENTRIES_PER_CLOCK_READING === 0 && this.#clock.monotonicMs() >= endMs) break;
    }
    if (this.idle || this.#head > 1_024) {
      this.#queue = this.#queue.slice(this.#head);
      this.#head = 0;
    }
    return true;
  }

  /** The state machine was replaced by a snapshot. */
  restart(metadata: SnapshotMetadata): void {
    assert(this.idle, 'I20: nothing is applied while a snapshot is installed');
    this.#applied = metadata.index;
    this.#stateMissing = false;
    this.#configuration = metadata.configuration;
  }

  #applyOne(entry: Entry): void {
    assert(!this.#stateMissing, 'I20: nothing is applied to a state that is missing');
    assert(entry.index === this.#applied + 1, `I13: ${entry.index} is applied after ${this.#applied}`);
    const change = entry.type === 'configuration' ? decodeConfigurationChange(entry.payload) : null;
    if (change !== null) this.#configuration = applyConfigurationChange(this.#configuration, change);
    this.#apply({ ...entry, change, configuration: this.#configuration });
    this.#applied = entry.index;
  }
}
