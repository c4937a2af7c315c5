import { beforeEach, describe, expect, it } from 'vitest';
import { ManualClock } from '../../src/base/clock.ts';
import type { HoldfastError } from '../../src/base/errors.ts';
import type { NodeId } from '../../src/base/ids.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { StateComparison } from '../../src/node/stateComparison.ts';
import { StateGuard } from '../../src/node/stateGuard.ts';

const id = (number: number): NodeId => number.toString(16).padStart(16, '0') as NodeId;
const [ONE, TWO, THREE] = [id(1), id(2), id(3)];
const AT = LIMITS.stateCheckpointEntries;

let clock: ManualClock;
let errors: string[];
let infos: string[];
let wrong: HoldfastError[];
let guard: StateGuard;

beforeEach(() => {
  clock = new ManualClock();
  errors = [];
  infos = [];
  wrong = [];
  const comparison = new StateComparison({
    nodeId: ONE,
    format: 1,
    clock,
    voters: () => [ONE, TWO, THREE],
    applied: () => ({ index: AT, digest: Buffer.alloc(32, 1) }),
  });
  const ignore = (): void => undefined;
  guard = new StateGuard({
    comparison,
    clock,
    logger: {
      debug: ignore,
      warn: ignore,
      info: (_fields, message) => infos.push(message),
      error: (_fields, message) => errors.push(message),
    },
    nameOf: (nodeId) => `n${Number(nodeId)}`,
    onWrong: (error) => wrong.push(error),
  });
  guard.applied(AT);
});

const says = (nodeId: NodeId, fill: number): void =>
  guard.heard(nodeId, [{ index: AT, digest: Buffer.alloc(32, fill), format: 1 }]);

describe('the guard of the state', () => {
  it('stops a node that a majority contradicts, once', () => {
    says(TWO, 2);
    expect(wrong).toEqual([]);
    says(THREE, 2);
    guard.tick();
    expect(wrong).toHaveLength(1);
    expect(wrong[0]).toMatchObject({ code: 'STATE_CORRUPT', message: expect.stringContaining('n2, n3') });
  });

  it('goes on where another one is wrong, and says so once', () => {
    says(TWO, 1);
    says(THREE, 3);
    clock.advance(60_000);
    guard.tick();
    guard.tick();
    expect(wrong).toEqual([]);
    expect(guard.refusal).toBeNull();
    expect(guard.warnings.join()).toContain('n3');
    expect(errors).toHaveLength(1);
  });

  it('serves nothing while nobody can tell who is right, from a moment on until it is over', () => {
    says(TWO, 2);
    expect(guard.refusal).toBeNull();
    expect(guard.warnings.join()).toContain('nothing is served');
    clock.advance(LIMITS.stateUndecidedMs);
    guard.tick();
    expect(guard.refusal).toMatchObject({ code: 'STATE_CORRUPT' });
    expect(errors).toHaveLength(1);
    says(TWO, 1);
    expect(guard.refusal).toBeNull();
    expect(guard.warnings).toEqual([]);
    expect(infos.at(-1)).toContain('agree');
  });
});
