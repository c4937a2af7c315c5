import { describe, expect, it } from 'vitest';
import { checkHistory, renderReport } from '../../cluster-tests/history/checkHistory.ts';
import { checkLinearizability } from '../../cluster-tests/history/linearizability.ts';
import type { History } from '../../cluster-tests/history/types.ts';
import type { Fault } from './faultyStore.ts';
import { type RunOptions, simulate } from './simulatedRun.ts';

const SEEDS = Array.from({ length: 8 }, (_, i) => i + 1);

const MIXES: Readonly<Record<string, Omit<RunOptions, 'seed'>>> = {
  'single keys': {},
  'one hot key': { keys: 1, clients: 10 },
  'two clients': { clients: 2, keys: 2 },
  transfers: { transfers: 0.6 },
  lists: { lists: 0.6 },
};

/** The checks that say "illegal". */
function illegal(history: History): readonly string[] {
  const { findings } = checkHistory(history);
  return [...new Set(findings.filter(({ verdict }) => verdict === 'illegal').map(({ check }) => check))];
}

describe('histories as they should be', () => {
  it.each(Object.entries(MIXES))('pass: %s', (_, mix) => {
    for (const seed of SEEDS) {
      const { history } = simulate({ seed, ...mix });
      const report = checkHistory(history);
      expect(report.verdict, `seed ${seed}\n${renderReport(report)}`).toBe('ok');
      expect(report.counts.get('answers replayed')).toBeGreaterThan(250);
      expect(report.counts.get('answers not covered by the events')).toBe(0);
    }
  });

  it.each(['single keys', 'two clients'])('pass on values alone, without the events: %s', (name) => {
    for (const seed of SEEDS) {
      const { history } = simulate({ seed, ...MIXES[name], infoRate: 0.01 });
      for (const revisions of [true, false]) {
        const { findings } = checkLinearizability({ ...history, log: null, events: [] }, { revisions });
        expect(findings.filter(({ verdict }) => verdict !== 'ok')).toEqual([]);
      }
    }
  });
});

/** Each fault with what must notice it; other checks may notice it too. */
const FAULTS: readonly {
  readonly fault: Fault;
  readonly mix: Omit<RunOptions, 'seed'>;
  readonly noticedBy: readonly string[];
}[] = [
  { fault: 'dropped write', mix: {}, noticedBy: ['nothing lost'] },
  { fault: 'stale read', mix: {}, noticedBy: ['revision order', 'linearizability'] },
  { fault: 'stale read under a new revision', mix: {}, noticedBy: ['replay', 'linearizability'] },
  { fault: 'stale serializable read', mix: {}, noticedBy: ['replay'] },
  { fault: 'lost update', mix: {}, noticedBy: ['replay', 'linearizability'] },
  { fault: 'refused although it held', mix: {}, noticedBy: ['replay', 'linearizability'] },
  { fault: 'duplicate apply', mix: {}, noticedBy: ['applied once'] },
  { fault: 'unknown write twice', mix: {}, noticedBy: ['applied once'] },
  { fault: 'value never written', mix: {}, noticedBy: ['replay', 'linearizability'] },
  { fault: 'half a transaction', mix: { transfers: 0.6 }, noticedBy: ['replay', 'sum'] },
  {
    fault: 'transaction half seen',
    mix: { transfers: 0.6 },
    noticedBy: ['replay', 'sum', 'linearizability'],
  },
  { fault: 'refused and applied', mix: {}, noticedBy: ['applied once'] },
  { fault: 'revision used twice', mix: {}, noticedBy: ['revision once'] },
  { fault: 'deleted nothing', mix: {}, noticedBy: ['replay', 'linearizability'] },
  { fault: 'append lost', mix: { lists: 0.6 }, noticedBy: ['list append', 'nothing lost'] },
];

describe('a history in which', () => {
  it.each(FAULTS)('there was a $fault fails', ({ fault, mix, noticedBy }) => {
    let faulted = 0;
    for (const seed of SEEDS) {
      const run = simulate({ seed, ...mix, fault });
      if (!run.faulted) continue;
      faulted += 1;
      expect(illegal(run.history), `seed ${seed}`).toEqual(expect.arrayContaining([...noticedBy]));
    }
    expect(faulted).toBeGreaterThan(SEEDS.length / 2);
  });
});
