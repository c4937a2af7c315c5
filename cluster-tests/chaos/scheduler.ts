import { waitFor } from '../faultProxy/waitFor.ts';
import type { FaultKind, Injected } from './faultKind.ts';
import type { RecoveryProbe } from './recovery.ts';
import type { SeededChoice } from './seededChoice.ts';
import type { Target, World } from './target.ts';

const GAP_MS = { min: 600, max: 5_200 };
const MAJORITY_GAP_MS = 20_000;
const ACTIVE_MAX = 3;
const HEAL_WITHIN_MS = 300_000;

/** One fault that was in force, for the report. Times by the monotonic clock. */
export interface FaultRecord {
  readonly kind: string;
  readonly what: string;
  readonly injectedMs: number;
  healedMs: number | null;
  /** Known when it is healed. Only those that struck count as faults. */
  struck: boolean;
  /** Until a write and a linearizable read had succeeded again, from the moment named; null: not within this phase. */
  afterInjectMs: number | null;
  afterHealMs: number | null;
}

interface Active {
  readonly record: FaultRecord;
  readonly injected: Injected;
  readonly alone: boolean;
  readonly over: Promise<void>;
}

/** Chooses faults from a seed, puts them in force, heals them, and keeps a majority unharmed unless it means to harm it. */
export class Scheduler<T extends Target> {
  readonly records: FaultRecord[] = [];
  readonly #kinds: readonly FaultKind<T>[];
  readonly #world: World<T>;
  readonly #random: SeededChoice;
  readonly #note: (text: string) => void;
  readonly #active = new Set<Active>();
  readonly #hurry = new AbortController();
  #lastMajorityMs = performance.now();

  constructor(options: {
    readonly kinds: readonly FaultKind<T>[];
    readonly world: World<T>;
    readonly note: (text: string) => void;
  }) {
    this.#kinds = options.kinds;
    this.#world = options.world;
    this.#random = options.world.random;
    this.#note = options.note;
  }

  held(): ReadonlySet<string> {
    return new Set([...this.#active].flatMap(({ injected }) => injected.holds));
  }

  /** Harms for so long, then heals all that is still in force. */
  async run(forMs: number, signal: AbortSignal): Promise<void> {
    const endMs = performance.now() + forMs;
    while (performance.now() < endMs && !signal.aborted) {
      await this.#injectOne();
      await waitFor(this.#random.logarithmic(GAP_MS.min, GAP_MS.max), signal);
    }
    this.#hurry.abort();
    for (const { over } of this.#active) await over;
  }

  /** Only this one, until it is healed; null: not possible now. */
  async one(kind: FaultKind<T>, inject: () => Promise<Injected | null>): Promise<FaultRecord | null> {
    const active = await this.#begin(kind, inject);
    await active?.over;
    return active?.record ?? null;
  }

  /** Fills in what the probe has seen. */
  measure(probe: RecoveryProbe): void {
    for (const record of this.records) {
      record.afterInjectMs = probe.recoveredAfterMs(record.injectedMs);
      record.afterHealMs = record.healedMs === null ? null : probe.recoveredAfterMs(record.healedMs);
    }
  }

  async #injectOne(): Promise<void> {
    if (this.#active.size >= ACTIVE_MAX || [...this.#active].some(({ alone }) => alone)) return;
    const size = this.#world.target.members().length;
    const spare = Math.floor((size - 1) / 2) - this.held().size;
    const majorityIsDue =
      this.#active.size === 0 && performance.now() - this.#lastMajorityMs > MAJORITY_GAP_MS;
    const allowed = this.#kinds.filter(({ takes, alone }) => {
      if (alone === true && this.#active.size > 0) return false;

      if (takes === 'none') return true;
      return takes === 'one' ? spare >= 1 : majorityIsDue;
    });
    if (allowed.length === 0) return;
    const kind = this.#random.weighted(allowed);
    await this.#begin(kind, () => kind.inject(this.#world));
  }

  async #begin(kind: FaultKind<T>, inject: () => Promise<Injected | null>): Promise<Active | null> {
    let injected: Injected | null;
    try {
      injected = await inject();
    } catch (thrown) {
      this.#world.violation(`${kind.name} could not be injected: ${String(thrown)}`);
      return null;
    }
    if (injected === null) return null;
    const injectedMs = performance.now();
    if (kind.takes === 'majority') this.#lastMajorityMs = performance.now();
    this.#note(`+ ${kind.name}: ${injected.what}`);
    const record: FaultRecord = {
      kind: kind.name,
      what: injected.what,
      injectedMs,
      healedMs: null,
      struck: false,
      afterInjectMs: null,
      afterHealMs: null,
    };
    this.records.push(record);
    const active: Active = {
      record,
      injected,
      alone: kind.alone === true || kind.takes === 'majority',
      over: Promise.resolve().then(() => this.#heal(active)),
    };
    this.#active.add(active);
    return active;
  }

  async #heal(active: Active): Promise<void> {
    const { injected, record } = active;
    await waitFor(injected.lastsMs, this.#hurry.signal);
    record.healedMs = performance.now();
    try {
      const healed = new AbortController();
      const late = waitFor(HEAL_WITHIN_MS, healed.signal).then(() => 'late');
      const first = await Promise.race([injected.heal(), late]);
      healed.abort();
      if (first === 'late') throw new Error('it takes too long');
    } catch (thrown) {
      this.#world.violation(`${record.kind} (${record.what}) could not be healed: ${String(thrown)}`);
    }
    record.struck = injected.struck();
    this.#active.delete(active);
    this.#note(`- ${record.kind}: ${record.what}${record.struck ? '' : ' (did not strike)'}`);
  }
}
