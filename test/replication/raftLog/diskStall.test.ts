import { describe, expect, test } from 'vitest';
import { DiskStall } from '../../../src/replication/raftLog/diskStall.ts';

describe('a write that does not return', () => {
  function stalling() {
    const disk = { pendingMs: 0 };
    const timing = { tickMs: 50, electionTicksMin: 4, diskStallFatalMs: 1_000 };
    const stall = new DiskStall({ wal: { pendingWriteMs: () => disk.pendingMs }, timing });
    const pass = (ticks: number): void => {
      for (let tick = 0; tick < ticks; tick += 1) {
        disk.pendingMs += timing.tickMs;
        stall.tick();
      }
    };
    return { disk, stall, pass };
  }

  test('keeps a leader from leading after an election timeout, and ends the node at last', () => {
    const { stall, pass } = stalling();
    pass(4);
    expect([stall.isLong, stall.failure]).toEqual([false, null]);
    pass(1);
    expect([stall.isLong, stall.failure]).toEqual([true, null]);
    pass(15);
    expect(stall.failure).toBeNull();
    pass(1);
    expect(stall.failure).toMatchObject({ code: 'DISK_FAILED' });
  });

  test('is no stall of the disk while the whole process stood still', () => {
    const { disk, stall, pass } = stalling();
    pass(1);
    disk.pendingMs += 60_000;
    pass(3);
    expect([stall.isLong, stall.failure]).toEqual([false, null]);
  });

  test('counts from its own beginning, and not at all once it has returned', () => {
    const { disk, stall, pass } = stalling();
    pass(10);
    disk.pendingMs = 0;
    expect(stall.isLong).toBe(false);
    pass(4);
    expect(stall.isLong).toBe(false);
    pass(1);
    expect(stall.isLong).toBe(true);
  });
});
