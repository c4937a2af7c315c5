import { describe, expect, test } from 'vitest';
import { Progress } from '../../../src/replication/raft/progress.ts';

function progressOf(next: number): Progress {
  return new Progress({ match: 0, next, window: { messagesMax: 2, bytesMax: 100 } });
}

function view({ state, match, next, open }: Progress): string {
  return `${state} ${match} ${next} ${open ? 'open' : 'paused'}`;
}

const send = (progress: Progress, last: number, bytes = 10) =>
  progress.sentAppend({ last, entries: 1, bytes, commit: 0 });

describe('Progress', () => {
  test('probes with one append at a time, then replicates', () => {
    const progress = progressOf(6);
    expect(view(progress)).toBe('probe 0 6 open');
    send(progress, 6);
    expect(view(progress)).toBe('probe 0 6 paused');
    progress.acknowledged(6, 1);
    expect(view(progress)).toBe('replicate 6 7 open');
  });

  test('a refusal moves the probe back, never below what matches', () => {
    const progress = progressOf(6);
    send(progress, 6);
    expect(progress.refused(3, 1)).toBe(false);
    expect(progress.refused(5, 3)).toBe(true);
    expect(view(progress)).toBe('probe 0 4 open');
    expect(progress.refused(3, 9)).toBe(true);
    expect(view(progress)).toBe('probe 0 3 open');
    progress.acknowledged(2, 1);
    send(progress, 3);
    expect(progress.refused(2, 0)).toBe(false);
    expect(progress.refused(3, 0)).toBe(true);
    expect(view(progress)).toBe('probe 2 3 open');
  });

  test('the window closes by number and by bytes, and opens again with answers', () => {
    const progress = progressOf(1);
    progress.acknowledged(0, 1);
    send(progress, 1);
    send(progress, 2);
    expect(view(progress)).toBe('replicate 0 3 paused');
    progress.acknowledged(1, 1);
    expect(view(progress)).toBe('replicate 1 3 open');
    send(progress, 3, 100);
    progress.acknowledged(2, 1);
    expect([progress.windowFull, progress.inFlightCount]).toEqual([true, 1]);
  });

  test('I10: old answers do not move it back', () => {
    const progress = progressOf(1);
    progress.acknowledged(0, 1);
    send(progress, 5);
    expect(progress.acknowledged(5, 1)).toBe(true);
    expect(progress.acknowledged(3, 1)).toBe(false);
    expect(view(progress)).toBe('replicate 5 6 open');
  });

  test('waits for a snapshot until it reaches our log', () => {
    const progress = progressOf(6);
    progress.needsSnapshot();
    expect(view(progress)).toBe('snapshot 0 1 paused');
    progress.acknowledged(3, 10);
    expect(view(progress)).toBe('snapshot 3 4 paused');
    progress.acknowledged(9, 10);
    expect(view(progress)).toBe('replicate 9 10 open');
    progress.needsSnapshot();
    progress.snapshotFailed();
    expect(view(progress)).toBe('probe 9 10 open');
  });

  test('one nudge per heartbeat reopens a probe', () => {
    const progress = progressOf(2);
    send(progress, 2);
    expect([progress.takeNudge(), progress.open]).toEqual([true, true]);
    send(progress, 2);
    expect([progress.takeNudge(), progress.open]).toEqual([false, false]);
    progress.heartbeatSent();
    expect(progress.takeNudge()).toBe(true);
  });
});

describe('a member that answers', () => {
  test('is silent for as many ticks as went by since', () => {
    const progress = progressOf(1);
    progress.ticked();
    progress.ticked();
    expect(progress.silentTicks).toBe(2);
    progress.heard();
    expect(progress.silentTicks).toBe(0);
  });
});
