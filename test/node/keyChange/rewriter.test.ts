import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ManualClock } from '../../../src/base/clock.ts';
import { HoldfastError } from '../../../src/base/errors.ts';
import type { NodeId } from '../../../src/base/ids.ts';
import { LIMITS } from '../../../src/base/limits.ts';
import { silentLogger } from '../../../src/base/logger.ts';
import { SeededRandom } from '../../../src/base/random.ts';
import { HEADER_START_BYTES, type KeyId, writeHeader } from '../../../src/envelope/format.ts';
import { type Keyring, withNewActiveKey, withSetAtIndex } from '../../../src/envelope/keyring.ts';
import type { Sealer } from '../../../src/envelope/sealer.ts';
import { Rewriter } from '../../../src/node/keyChange/rewriter.ts';
import type { KeyChangeRow, NoteKeyChange } from '../../../src/proto/storage.ts';
import type { RewrittenState } from '../../../src/store/rewrite.ts';
import type { ScrubPace } from '../../../src/store/scrub.ts';
import { keyringFor } from '../../envelope/fixtures.ts';
import { until } from '../until.ts';

const OWN = '00000000000000aa' as NodeId;
const WORK_MS = 4;

let root: string;
let clock: ManualClock;
let keyring: Keyring;
let change: KeyChangeRow | null;
let notes: NoteKeyChange[];
let calls: string[];
let rests: number[];
let busy: boolean;
let applied: number;
let full: boolean;
let state: (pace: ScrubPace) => Promise<RewrittenState | null>;
let rewriter: Rewriter;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'holdfast-rewriter-'));
  clock = new ManualClock();
  const sources = { random: new SeededRandom(3), clock };
  keyring = withSetAtIndex(withNewActiveKey(keyringFor('on'), sources), 9);
  change = rewriting();
  [notes, calls, rests, busy, full, applied] = [[], [], [], false, false, 0];
  state = async (pace) => {
    calls.push('state');
    clock.advance(WORK_MS);
    return { rewritten: 7, whole: await pace({ rows: 1, bytes: 1 }) };
  };
  rewriter = new Rewriter({
    nodeId: OWN,
    root,
    sealer: { keyring } as Sealer,
    change: () => change,
    rewriteState: (pace) => state(pace),
    compactState: () => {
      calls.push('compact');
      return Promise.resolve({ rewritten: 0, whole: true });
    },
    rewriteFiles: () => called('files'),
    forgetLog: () => called('log'),
    isBusy: () => busy,
    appliedIndex: () => applied,
    requireRoom: () => (full ? Promise.reject(new HoldfastError('NO_SPACE', 'full')) : Promise.resolve()),
    note: (note) => {
      notes.push(note);
      return Promise.resolve();
    },
    clock,
    scheduler: {
      afterPoll: (run) => queueMicrotask(run),
      after: (delayMs, run) => {
        rests.push(delayMs);
        queueMicrotask(run);
        return { stop: () => undefined };
      },
      every: () => ({ stop: () => undefined }),
    },
    logger: silentLogger,
  });
});
afterEach(async () => {
  await rewriter.stop();
  rmSync(root, { recursive: true });
});

function called(what: string): Promise<void> {
  calls.push(what);
  return Promise.resolve();
}

function rewriting(members: KeyChangeRow['members'] = []): KeyChangeRow {
  return {
    id: 'c1',
    kind: 'rekey',
    phase: 'rewriting',
    encryption: '',
    newFingerprint: '',
    previousFingerprint: '',
    replacedFingerprints: [],
    source: 'file',
    confirmed: true,
    members,
    startedMs: 0,
    endedMs: 0,
  };
}

function leaveBehind(name: string): void {
  const [old] = [...keyring.keys.keys()] as [KeyId];
  const header = Buffer.alloc(HEADER_START_BYTES);
  writeHeader(header, { suite: 1, keyIdBytes: Buffer.from(old, 'hex') });
  writeFileSync(join(root, name), header);
}

/** Looks, and waits until it has begun and ended. */
async function look(ends: () => boolean): Promise<void> {
  rewriter.look();
  await until(
    () => Promise.resolve(ends()),
    () => `an end; ${calls.join()}`,
  );
}

describe('the rewriter of a node', () => {
  it('seals the state anew, then the other files, then begins the log anew, and only then counts', async () => {
    await look(() => notes.length === 1);
    expect(calls).toEqual(['log', 'state', 'files', 'log']);
    expect(notes[0]).toMatchObject({ id: 'c1', note: 'counted', nodeId: OWN, rewritten: 7, remaining: 0 });
    expect(rewriter.warnings).toEqual([]);
  });

  it('says what is left under an old key and where, and counts again until nothing is', async () => {
    leaveBehind('left.damaged');
    await look(() => notes.length === 1);
    expect(notes[0]).toMatchObject({ remaining: 1 });
    expect(rewriter.warnings).toEqual([expect.stringMatching(/^1 envelopes .* in left\.damaged; /)]);
    rmSync(join(root, 'left.damaged'));
    change = rewriting([{ nodeId: OWN, proved: true, counted: true, rewritten: 7, remaining: 1 }]);
    calls = [];
    clock.advance(LIMITS.rewriteRetryMsMax);
    await look(() => notes.length === 2);
    expect(notes[1]).toMatchObject({ rewritten: 7, remaining: 0 });
    expect(rewriter.warnings).toEqual([]);
    expect(calls).toEqual(['log', 'compact', 'files', 'log']);
  });

  it('goes through the whole state again when it is not enough to leave out what was overwritten', async () => {
    leaveBehind('left.damaged');
    await look(() => notes.length === 1);
    for (const what of ['compact', 'state', 'compact']) {
      await rewriter.ended();
      calls = [];
      clock.advance(LIMITS.rewriteRetryMsMax);
      await look(() => calls.length === 4);
      expect(calls).toEqual(['log', what, 'files', 'log']);
    }
  });

  it('looks less and less often at what is left', async () => {
    leaveBehind('left.damaged');
    await look(() => notes.length === 1);
    const waits: number[] = [];
    for (let times = 2; times <= 16; times += 1) {
      await rewriter.ended();
      let waitedMs = 0;
      for (const before = calls.length; calls.length === before; waitedMs += LIMITS.rewriteRetryMs) {
        clock.advance(LIMITS.rewriteRetryMs);
        rewriter.look();
        await Promise.resolve();
      }
      waits.push(waitedMs);
      await until(() => notes.length === times, `count ${times}`);
    }
    const { rewriteRetryMs: first, rewriteRetryMsMax: most } = LIMITS;
    expect(waits.slice(0, 8)).toEqual(Array.from({ length: 8 }, () => first));
    expect(waits.slice(8, 11)).toEqual([2 * first, 4 * first, 8 * first]);
    expect(waits.at(-1)).toBe(most);
  });

  it('does not fill a disk that is low, and says what holds it up', async () => {
    full = true;
    rewriter.look();
    await rewriter.ended();
    expect([calls, notes]).toEqual([['log', 'state'], []]);
    expect(rewriter.warnings).toEqual([expect.stringContaining('full')]);
    full = false;
    clock.advance(LIMITS.rewriteRetryMs);
    await look(() => notes.length === 1);
  });

  it('looks at the disk again now and then, not with every portion', async () => {
    const ends: boolean[] = [];
    state = async (pace) => {
      await pace({ rows: 1, bytes: 1 });
      full = true;
      for (const waitedMs of [LIMITS.rewriteRoomMs - 1, 1]) {
        clock.advance(waitedMs);
        ends.push(await pace({ rows: 1, bytes: 1 }));
      }
      return { rewritten: 0, whole: true };
    };
    rewriter.look();
    await rewriter.ended();
    expect([ends, notes]).toEqual([[true], []]);
    expect(rewriter.warnings).toEqual([expect.stringContaining('full')]);
  });

  it('does nothing once it has counted nothing, in another phase, or without a change', async () => {
    for (const idle of [
      rewriting([{ nodeId: OWN, proved: true, counted: true, rewritten: 7, remaining: 0 }]),
      { ...rewriting(), phase: 'preparing' },
      null,
    ]) {
      change = idle;
      rewriter.look();
    }
    await Promise.resolve();
    expect(calls).toEqual([]);
  });

  it('begins again after a refusal, not at once', async () => {
    const good = state;
    state = () => Promise.reject(new HoldfastError('UNAVAILABLE', 'not now'));
    rewriter.look();
    await rewriter.ended();
    state = good;
    rewriter.look();
    await Promise.resolve();
    expect(calls).toEqual(['log']);
    clock.advance(LIMITS.rewriteRetryMs);
    await look(() => notes.length === 1);
  });

  it('counts nothing of a state that has been taken from another node meanwhile', async () => {
    const good = state;
    state = (pace) => {
      rewriter.stateReplaced();
      return good(pace);
    };
    rewriter.look();
    await until(() => calls.includes('log'), 'the log begun anew');
    state = good;
    await until(
      () => {
        if (notes.length === 1) return true;
        clock.advance(LIMITS.rewriteRetryMs);
        rewriter.look();
        return false;
      },
      () => `a count; ${calls.join()}`,
    );
    expect(calls).toEqual(['log', 'state', 'files', 'log', 'log', 'state', 'files', 'log']);
    expect(notes).toHaveLength(1);
  });

  it('ends early without a count when the state ends early', async () => {
    state = () => Promise.resolve({ rewritten: 3, whole: false });
    rewriter.look();
    await rewriter.ended();
    expect([calls, notes]).toEqual([['log'], []]);
  });

  it('rests four times as long as it works while callers wait, up to a bound, and else not at all', async () => {
    await look(() => notes.length === 1);
    expect(rests).toEqual([]);
    busy = true;
    for (const [workMs, restMs] of [
      [WORK_MS, 4 * WORK_MS],
      [1_000, LIMITS.rewriteRestMsMax],
    ] as const) {
      state = async (pace) => {
        clock.advance(workMs);
        return { rewritten: 0, whole: await pace({ rows: 1, bytes: 1 }) };
      };
      [rests, notes] = [[], []];
      change = { ...rewriting(), id: `${workMs}` };
      clock.advance(LIMITS.rewriteRetryMs);
      await look(() => notes.length === 1);
      expect(rests).toEqual([restMs]);
    }
  });

  it('rests as well while entries are applied that callers of other nodes have written, and a moment longer', async () => {
    const round = async (): Promise<readonly number[]> => {
      [rests, notes] = [[], []];
      change = { ...rewriting(), id: `${clock.monotonicMs()}` };
      clock.advance(LIMITS.rewriteRetryMs);
      await look(() => notes.length === 1);
      return rests;
    };
    state = async (pace) => {
      applied += 1;
      clock.advance(WORK_MS);
      await pace({ rows: 1, bytes: 1 });
      clock.advance(LIMITS.rewriteQuietMs - 1);
      await pace({ rows: 1, bytes: 1 });
      clock.advance(WORK_MS);
      return { rewritten: 0, whole: await pace({ rows: 1, bytes: 1 }) };
    };
    expect(await round()).toEqual([4 * WORK_MS, LIMITS.rewriteRestMsMax]);
  });
});
