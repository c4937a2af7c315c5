import { expect, test } from 'vitest';
import { ManualClock } from '../../../src/base/clock.ts';
import type { NodeId } from '../../../src/base/ids.ts';
import { LIMITS } from '../../../src/base/limits.ts';
import { silentLogger } from '../../../src/base/logger.ts';
import type { Raft } from '../../../src/replication/raft/raft.ts';
import type { Place } from '../../../src/replication/raft/types.ts';
import { TrustWatch } from '../../../src/replication/raftLog/trust.ts';
import type { WriteAheadLog } from '../../../src/replication/wal/types.ts';

function watching() {
  const clock = new ManualClock();
  const lines: string[] = [];
  const marks: unknown[] = [];
  const tell = (_fields: object, message: string): void => void lines.push(message);
  const core = {
    suspectUntil: null as Place | null,
    suspicionsRaised: 0,
    suspects: [] as NodeId[],
    status: () => ({ progress: core.suspects.map((nodeId) => ({ nodeId, suspect: true })) }),
  };
  const wal: Partial<WriteAheadLog> = {
    suspect: (mark) => {
      marks.push(mark);
      return Promise.resolve();
    },
  };
  const watch = new TrustWatch({
    raft: core as unknown as Raft,
    wal: wal as WriteAheadLog,
    clock,
    logger: { ...silentLogger, warn: tell, info: tell },
    onFailed: (error) => {
      throw error;
    },
  });
  return { clock, lines, marks, core, watch };
}

test('a member that loses entries again and again is one line a minute; another one is its own', () => {
  const { clock, lines, core, watch } = watching();
  const raise = (...names: string[]): void => {
    core.suspects = names as NodeId[];
    core.suspicionsRaised += 1;
    watch.look();
  };
  for (let time = 0; time < 100; time += 1) raise('a');
  expect(lines).toHaveLength(1);
  raise('a', 'b');
  expect(lines).toHaveLength(2);
  clock.advance(LIMITS.rareLineIntervalMs);
  raise('a');
  expect(lines).toHaveLength(3);
});

test('the own suspicion is always marked beside the log, and told of once a minute', () => {
  const { lines, marks, core, watch } = watching();
  for (let time = 1; time <= 50; time += 1) {
    core.suspectUntil = { index: time, term: 1 };
    watch.look();
    core.suspectUntil = null;
    watch.look();
  }
  expect(marks).toHaveLength(100);
  expect(lines).toHaveLength(2);
});
