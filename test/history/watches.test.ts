import { describe, expect, it } from 'vitest';
import type { History, KeyEvent, WatchBatchLine } from '../../cluster-tests/history/types.ts';
import { checkWatches, WATCH_CHECKS, type WatchCheck } from '../../cluster-tests/history/watches.ts';
import { present } from '../../src/base/assert.ts';
import { SeededRandom } from '../../src/base/random.ts';
import { simulate } from './simulatedRun.ts';
import { type SimulatedWatch, simulateWatch, watchLines } from './simulatedWatch.ts';

const SEEDS = [1, 2, 3, 4, 5, 6];

function example(seed: number): { readonly history: History; readonly watch: SimulatedWatch } {
  const { history } = simulate({ seed, transfers: 0.4 });
  const random = new SeededRandom(seed);
  const options = {
    watch: 1,
    selector: { prefix: 'sum/' },
    from: 5,
    startedAfter: 4,
    previous: true,
    random,
  };
  return { history, watch: simulateWatch(history, options) };
}

function illegal(history: History, watch: SimulatedWatch): readonly string[] {
  return checkWatches({ ...history, watches: watchLines(watch) })
    .filter(({ verdict }) => verdict === 'illegal')
    .map(({ check }) => check.replace('watch ', ''));
}

type Batches = readonly WatchBatchLine[];
const full = (batches: Batches): readonly number[] =>
  batches.flatMap(({ events }, i) => (events.length > 0 && i > 0 && i < batches.length - 2 ? [i] : []));
const pick = (batches: Batches, which: (batch: WatchBatchLine, i: number) => boolean): number =>
  present(
    full(batches).find((i) => which(present(batches[i], 'batch'), i)),
    'a fitting batch',
  );
const change = (
  batches: Batches,
  i: number,
  to: (batch: WatchBatchLine) => Partial<WatchBatchLine>,
): Batches => {
  const batch = present(batches[i], 'batch');
  return batches.with(i, { ...batch, ...to(batch) });
};
const changeEvent = (batches: Batches, to: (event: KeyEvent) => Partial<KeyEvent>): Batches =>
  change(
    batches,
    pick(batches, ({ events }) => events[0]?.type === 'put' && events[0].version > 2),
    ({ events }) => ({
      events: events.map((event, i) => (i === 0 ? { ...event, ...to(event) } : event)),
    }),
  );
const revisionsOf = ({ events }: WatchBatchLine): number => new Set(events.map(({ mod }) => mod)).size;

/** What a watch may do wrong, and the promise that it breaks. */
const WRONGS: readonly {
  readonly what: string;
  readonly breaks: WatchCheck;
  readonly batches: (all: Batches) => Batches;
}[] = [
  {
    what: 'tells of a key that is not selected',
    breaks: 'filtered',
    batches: (all) => changeEvent(all, () => ({ key: 'key/0' })),
  },
  {
    what: 'swaps two batches',
    breaks: 'ordered',
    batches: (all) => {
      const i = pick(all, (_, i) => (all[i + 1]?.events.length ?? 0) > 0);
      return all.with(i, present(all[i + 1], 'next')).with(i + 1, present(all[i], 'batch'));
    },
  },
  {
    what: 'swaps two revisions in a batch',
    breaks: 'ordered',
    batches: (all) =>
      change(
        all,
        pick(all, (batch) => revisionsOf(batch) > 1),
        ({ events }) => ({ events: events.toSorted((a, b) => b.mod - a.mod) }),
      ),
  },
  {
    what: 'swaps two changes of one revision',
    breaks: 'ordered',
    batches: (all) =>
      change(
        all,
        pick(all, (batch) => revisionsOf(batch) === 1 && batch.events.length > 1),
        ({ events }) => ({ events: events.toReversed() }),
      ),
  },
  {
    what: 'tells a change twice',
    breaks: 'unique',
    batches: (all) =>
      change(
        all,
        pick(all, () => true),
        ({ events }) => ({ events: [...events.slice(0, 1), ...events] }),
      ),
  },
  {
    what: 'tells a batch twice',
    breaks: 'unique',
    batches: (all) => {
      const i = pick(all, () => true);
      return all.toSpliced(i, 0, present(all[i], 'batch'));
    },
  },
  {
    what: 'splits a revision over two batches',
    breaks: 'atomic',
    batches: (all) => {
      const i = pick(all, (batch) => revisionsOf(batch) === 1 && batch.events.length > 1);
      const batch = present(all[i], 'batch');
      return all.toSpliced(
        i,
        1,
        { ...batch, events: batch.events.slice(0, 1) },
        { ...batch, events: batch.events.slice(1) },
      );
    },
  },
  {
    what: 'leaves out a part of a revision',
    breaks: 'atomic',
    batches: (all) =>
      change(
        all,
        pick(all, (batch) => revisionsOf(batch) === 1 && batch.events.length > 1),
        ({ events }) => ({ events: events.slice(1) }),
      ),
  },
  {
    what: 'leaves out a batch',
    breaks: 'reliable',
    batches: (all) =>
      all.toSpliced(
        pick(all, () => true),
        1,
      ),
  },
  {
    what: 'tells of what never happened',
    breaks: 'reliable',
    batches: (all) => changeEvent(all, () => ({ key: 'sum/none' })),
  },
  {
    what: 'tells of one change more than there was',
    breaks: 'reliable',
    batches: (all) =>
      change(
        all,
        pick(all, () => true),
        ({ events }) => ({
          events: [...events, { ...present(events.at(-1), 'event'), key: 'sum/none' }],
        }),
      ),
  },
  {
    what: 'tells of more than it says',
    breaks: 'ordered',
    batches: (all) =>
      change(
        all,
        pick(all, ({ rev }, i) => rev > (all[i - 1]?.rev ?? 0) + 1),
        ({ rev }) => ({ rev: rev - 1 }),
      ),
  },
  {
    what: 'says that it is less far than it was',
    breaks: 'ordered',
    batches: (all) => {
      const i = pick(all, () => true);
      const batch = present(all[i], 'batch');
      return all.toSpliced(i + 1, 0, { ...batch, rev: batch.rev - 1, events: [] });
    },
  },
  {
    what: 'begins too late',
    breaks: 'resumable',
    batches: (all) => all.slice(all.findIndex(({ events }) => events.length > 0) + 1),
  },
  {
    what: 'begins too early',
    breaks: 'resumable',
    batches: (all) =>
      change(all, 0, ({ events }) => ({ events: [{ ...present(events[0], 'event'), mod: 2 }, ...events] })),
  },
  {
    what: 'says that it has told what it tells later',
    breaks: 'bookmarkable',
    batches: (all) => {
      const i = pick(all, () => true);
      const batch = present(all[i], 'batch');
      return all.toSpliced(i, 0, { ...batch, events: [] });
    },
  },
  {
    what: 'says that it has told what it never tells',
    breaks: 'bookmarkable',
    batches: (all) => {
      const i = pick(all, () => true);
      return change(all, i, () => ({ events: [] }));
    },
  },
  {
    what: 'tells a wrong previous value',
    breaks: 'previous value',
    batches: (all) =>
      changeEvent(all, ({ previous }) => ({
        previous: { ...present(previous, 'previous'), value: '0#none' },
      })),
  },
  {
    what: 'tells no previous value',
    breaks: 'previous value',
    batches: (all) => changeEvent(all, () => ({ previous: null })),
  },
  {
    what: 'tells a wrong version',
    breaks: 'versions',
    batches: (all) => changeEvent(all, ({ version }) => ({ version: version + 1 })),
  },
  {
    what: 'tells a wrong creation',
    breaks: 'versions',
    batches: (all) => changeEvent(all, ({ create }) => ({ create: create + 1 })),
  },
  {
    what: 'tells a wrong value',
    breaks: 'versions',
    batches: (all) => changeEvent(all, () => ({ value: '1#wrong' })),
  },
];

describe('a watch', () => {
  it('that does as it should passes', () => {
    for (const seed of SEEDS) {
      const { history } = simulate({ seed, transfers: 0.4 });
      const random = new SeededRandom(seed);
      const selectors = [{ prefix: '' }, { prefix: 'sum/' }, { key: 'key/1' }, { key: 'nothing' }];
      for (const [watch, selector] of selectors.entries()) {
        for (const [from, previous] of [
          [1, true],
          [20, false],
          [0, true],
        ] as const) {
          const options = { watch, selector, from, startedAfter: 30, previous, random };
          const watches = watchLines(simulateWatch(history, options));
          const findings = checkWatches({ ...history, watches });
          expect(findings).toHaveLength(WATCH_CHECKS.length);
          expect(findings.filter(({ verdict }) => verdict !== 'ok')).toEqual([]);
        }
      }
    }
  });

  it.each(WRONGS)('that $what fails', ({ breaks, batches }) => {
    for (const seed of SEEDS) {
      const { history, watch } = example(seed);
      expect(illegal(history, { ...watch, batches: batches(watch.batches) }), `seed ${seed}`).toContain(
        breaks,
      );
    }
  });

  it('fails where it begins elsewhere than it was asked to', () => {
    const { history, watch } = example(1);
    expect(illegal(history, { ...watch, startedAfter: 7 })).toContain('resumable');
  });

  it.each([true, false])('tells previous values exactly where they were asked for: %s', (previous) => {
    const { history, watch } = example(1);
    const open = { ...watch.open, previous };
    const batches = watch.batches.map((batch) => ({
      ...batch,
      events: batch.events.map(({ previous: before, ...event }) =>
        previous || before === undefined ? event : { ...event, previous: before },
      ),
    }));
    expect(illegal(history, { ...watch, open, batches })).toEqual(['previous value']);
  });

  it('that splits a revision shows it without any events', () => {
    const { history, watch } = example(1);
    const split = present(
      WRONGS.find(({ what }) => what.startsWith('splits')),
      'split',
    ).batches(watch.batches);
    expect(illegal({ ...history, events: [], log: null }, { ...watch, batches: split })).toEqual(['atomic']);
  });

  it('has every promise broken by one of these', () => {
    expect(new Set(WRONGS.map(({ breaks }) => breaks))).toEqual(new Set(WATCH_CHECKS));
  });

  it('is not judged by events that are not there', () => {
    const { history, watch } = example(1);
    const lines = watchLines(watch);
    const verdicts = (log: History['log']) =>
      new Set(
        checkWatches({ events: log === null ? [] : history.events, log, watches: lines }).map(
          ({ verdict }) => verdict,
        ),
      );
    expect(verdicts(null)).toEqual(new Set(['ok', 'unknown']));
    expect(verdicts({ f: 'log', prefix: 'key/', after: 0, upTo: 999 })).toEqual(new Set(['ok', 'unknown']));
  });

  it('may go on after the events were read back', () => {
    const { history, watch } = example(1);
    const later = history.events.at(-1);
    const event = { ...present(later, 'event'), key: 'sum/0', mod: history.events.length + 1_000 };
    const batch = { ...present(watch.batches[0], 'batch'), rev: event.mod, events: [event] };
    expect(illegal(history, { ...watch, batches: [...watch.batches, batch] })).toEqual([]);
  });
});
