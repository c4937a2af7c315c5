/** What a faultless watch of a simulated run would have told. */

import type {
  History,
  KeyEvent,
  WatchBatchLine,
  WatchLine,
  WatchOpenLine,
  WatchSelector,
} from '../../cluster-tests/history/types.ts';
import type { SeededRandom } from '../../src/base/random.ts';

export interface SimulatedWatch {
  readonly open: WatchOpenLine;
  readonly startedAfter: number;
  readonly batches: readonly WatchBatchLine[];
}

export function simulateWatch(
  history: History,
  options: {
    readonly watch: number;
    readonly selector: WatchSelector;
    /** 0: from `startedAfter` on. */
    readonly from: number;
    readonly startedAfter: number;
    readonly previous: boolean;
    readonly random: SeededRandom;
  },
): SimulatedWatch {
  const { watch, selector, from, previous, random } = options;
  const base = { f: 'watch', watch, at: 0 } as const;
  const startedAfter = from > 0 ? from - 1 : options.startedAfter;
  const selected = history.events.filter(
    ({ key, mod }) =>
      mod > startedAfter && ('key' in selector ? key === selector.key : key.startsWith(selector.prefix)),
  );
  const batches: WatchBatchLine[] = [];
  for (let i = 0; i < selected.length; ) {
    const end = endOfRevisions(selected, i, 1 + random.integer({ min: 0, max: 3 }));
    const events = selected.slice(i, end).map((event) => told(event, previous));
    const rev = events.at(-1)?.mod ?? 0;
    batches.push({ ...base, kind: 'batch', rev, events });
    // Sometimes it is said how far all is told, up to before the next change.
    if (random.integer({ min: 0, max: 3 }) === 0) {
      batches.push({ ...base, kind: 'batch', rev: (selected[end]?.mod ?? rev + 1) - 1, events: [] });
    }
    i = end;
  }
  const open: WatchOpenLine = {
    ...base,
    kind: 'open',
    node: 'any',
    selector,
    from,
    previous,
    progress: true,
  };
  return { open, startedAfter, batches };
}

/** After the last event of so many revisions. */
function endOfRevisions(events: readonly KeyEvent[], start: number, revisions: number): number {
  let end = start;
  for (let i = 0; i < revisions && end < events.length; i += 1) {
    const rev = events[end]?.mod;
    while (events[end]?.mod === rev && end < events.length) end += 1;
  }
  return end;
}

function told(event: KeyEvent, previous: boolean): KeyEvent {
  if (previous) return event;
  const { type, key, value, version, mod, create } = event;
  return { type, key, value, version, mod, create };
}

export function watchLines({ open, startedAfter, batches }: SimulatedWatch): readonly WatchLine[] {
  const { f, watch, at } = open;
  return [
    open,
    { f, watch, at, kind: 'started', rev: startedAfter },
    ...batches,
    { f, watch, at, kind: 'end', error: null },
  ];
}
