import type { HoldfastError } from '../../src/base/errors.ts';
import type { Revision } from '../../src/base/ids.ts';
import type { WatchEvent } from '../../src/proto/kv.ts';
import type { Store } from '../../src/store/store.ts';
import type { Chance } from './chance.ts';
import type { World } from './world.ts';

/** What every watcher must have been told of a revision, as the first of them was. */
export type ToldRevisions = Map<Revision, string>;

/** A receiver that now and then is full for a moment. */
const FULL_PROBABILITY = 0.1;

/**
 * Someone who watches everything at one machine, goes on at its next life, and checks I33: in order, without gap or
 * repetition, whole revisions, the same as everywhere.
 */
export class Watcher {
  readonly #world: World;
  readonly #told: ToldRevisions;
  readonly #chance: Chance;
  #last: Revision | null = null;
  delivered = 0;

  constructor(options: { readonly world: World; readonly told: ToldRevisions }) {
    this.#world = options.world;
    this.#told = options.told;
    this.#chance = options.world.chances.work;
  }

  /** The node is up: begins, or goes on where it was. */
  attach(store: Store, later: (run: () => void) => void): void {
    const known = this.#last ?? store.revision;
    // What a new life of the node has forgotten for good is not missed: it was told to be gone.
    const from = Math.max(known, store.compactedRevision);
    this.#last = from;
    let resume: () => void = () => undefined;
    const handle = store.watch(
      { start: '', end: '', startRevision: from + 1, previous: false, progress: false },
      {
        deliver: ({ events }) => {
          this.#world.guard(() => this.#deliver(events));
          if (!this.#chance.happens(FULL_PROBABILITY)) return true;
          later(() => resume());
          return false;
        },
        cancelled: (error, resumeRevision) =>
          later(() => this.#cancelled(store, { error, resumeRevision, later })),
      },
    );
    resume = () => handle.resume();
  }

  #cancelled(
    store: Store,
    why: {
      readonly error: HoldfastError;
      readonly resumeRevision: Revision;
      readonly later: (run: () => void) => void;
    },
  ): void {
    const { error, resumeRevision, later } = why;
    const forgotten = error.code === 'COMPACTED' || error.code === 'WATCH_BEHIND';
    this.#world.guard(() =>
      this.#world.check(forgotten, () => `I33: a watch ends with ${error.code}: ${error.message}`),
    );
    this.#world.guard(() =>
      this.#world.check(
        resumeRevision === 0 ||
          resumeRevision === (this.#last ?? 0) + 1 ||
          resumeRevision <= store.compactedRevision + 1,
        () => `I33: a watch that was told up to ${this.#last} is to go on at ${resumeRevision}`,
      ),
    );
    this.attach(store, later);
  }

  #deliver(events: readonly WatchEvent[]): void {
    for (const { item } of events) {
      if (!item) continue;
      const { modRevision } = item;
      const last = this.#last ?? 0;
      this.#world.check(
        modRevision === last || modRevision === last + 1,
        () => `I33: a watch is told of revision ${modRevision} after ${last}`,
      );
      this.#last = modRevision;
      this.delivered += 1;
    }
    for (const [revision, line] of byRevision(events)) {
      const known = this.#told.get(revision);
      if (known === undefined) this.#told.set(revision, line);
      else
        this.#world.check(
          known === line,
          () => `I33: revision ${revision} is told as ${line}, and was ${known}`,
        );
    }
  }
}

/** Whole revisions: a delivery that split one would differ from what others were told of it. */
function byRevision(events: readonly WatchEvent[]): Map<Revision, string> {
  const lines = new Map<Revision, string>();
  for (const { type, item } of events) {
    if (!item) continue;
    const { key, value, modRevision, createRevision, version } = item;
    const line = `${type} ${Buffer.from(key).toString()}=${Buffer.from(value).toString()} ${createRevision} ${version};`;
    lines.set(modRevision, (lines.get(modRevision) ?? '') + line);
  }
  return lines;
}
