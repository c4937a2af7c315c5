import { tmpdir } from 'node:os';
import { beforeEach, describe, expect, it } from 'vitest';
import type { NodeId } from '../../src/base/ids.ts';
import { DiskReserve, freeBytesOf } from '../../src/node/diskReserve.ts';
import type { Submission } from '../../src/node/submit.ts';
import { FakeLogger } from './nodeFolder.ts';

const id = (number: number): NodeId => number.toString(16).padStart(16, '0') as NodeId;
const [ONE, TWO, THREE] = [id(1), id(2), id(3)];
const RESERVE = 1_000;

let freeBytes: number | Error;
let leader: NodeId | null;
let voters: NodeId[];
let logger: FakeLogger;
let reserve: DiskReserve;

beforeEach(() => {
  freeBytes = RESERVE;
  leader = ONE;
  voters = [ONE, TWO, THREE];
  logger = new FakeLogger();
  reserve = new DiskReserve({
    nodeId: ONE,
    reserveBytes: RESERVE,
    freeBytes: () => (freeBytes instanceof Error ? Promise.reject(freeBytes) : Promise.resolve(freeBytes)),
    leader: () => leader,
    voters: () => voters,
    nameOf: (nodeId) => `n${Number(nodeId)}`,
    logger,
  });
});

async function has(free: number | Error): Promise<boolean> {
  freeBytes = free;
  await reserve.check();
  return reserve.low;
}

const key = Buffer.from('k');
const put = { put: { key, value: key, previous: false } };
const remove = { delete: { range: { start: key, end: Buffer.from('l') }, previous: false } };
const write = (success: object[], failure: object[] = []): Submission =>
  ({ principal: null, transaction: { compares: [], success, failure } }) as Submission;

describe('the reserve of a disk', () => {
  it('is reached below its size, and left only a quarter above it', async () => {
    expect(reserve.freeBytes).toBeNull();
    expect(await has(RESERVE)).toBe(false);
    expect(await has(RESERVE - 1)).toBe(true);
    expect(reserve.warnings).toHaveLength(1);
    expect(await has(RESERVE * 1.25 - 1)).toBe(true);
    expect(await has(RESERVE * 1.25)).toBe(false);
    expect(reserve.warnings).toEqual([]);
    expect(reserve.freeBytes).toBe(RESERVE * 1.25);
  });

  it('leaves audited reads half of it, for their records', async () => {
    const reads = { principal: null, readValues: { reads: [] } } as unknown as Submission;
    await has(RESERVE - 1);
    expect(reserve.refusal(reads)).toBeNull();
    await has(RESERVE / 2);
    expect(reserve.refusal(reads)).toBeNull();
    await has(RESERVE / 2 - 1);
    expect(reserve.refusal(reads)?.code).toBe('NO_SPACE');
    expect(reserve.refusal(write([remove]))).toBeNull();
    await has(RESERVE / 2);
    expect(reserve.refusal(reads)).toBeNull();
  });

  it('stays as it was when the system does not answer', async () => {
    await has(RESERVE - 1);
    expect(await has(new Error('EIO'))).toBe(true);
    expect(logger.warnings).toHaveLength(1);
  });

  it('turns puts away at a leader, by name, and lets out what helps', async () => {
    await has(0);
    const refusal = reserve.refusal(write([remove, put]));
    expect(refusal).toMatchObject({ code: 'NO_SPACE', hint: expect.stringContaining('kv delete') });
    expect(refusal?.message).toContain('n1');
    expect(reserve.refusal(write([], [put]))?.code).toBe('NO_SPACE');
    for (const allowed of [
      write([remove]),
      { principal: null, compact: { revision: 3 } },
      { principal: null, advanceTime: {} },
      { principal: null, registerClient: {} },
      { principal: null, revokeToken: { id: 'x' } },
    ]) {
      expect(reserve.refusal(allowed)).toBeNull();
    }
  });

  it('of a follower turns nothing away, of the leader everywhere', async () => {
    leader = TWO;
    await has(0);
    expect(reserve.refusal(write([put]))).toBeNull();
    expect(await has(RESERVE * 2)).toBe(false);
    reserve.heard(TWO, { lowSpace: true });
    expect(reserve.refusal(write([put]))?.message).toContain('n2');
    reserve.heard(TWO, { lowSpace: false });
    expect(reserve.refusal(write([put]))).toBeNull();
  });

  it('of so many voters that the rest is no majority turns writes away', () => {
    reserve.heard(TWO, { lowSpace: true });
    expect(reserve.refusal(write([put]))).toBeNull();
    reserve.heard(THREE, { lowSpace: true });
    expect(reserve.refusal(write([put]))?.message).toContain('n2, n3');
    voters = [ONE, TWO, id(4), id(5)];
    expect(reserve.refusal(write([put]))).toBeNull();
  });

  it('is measured on the real file system', async () => {
    expect(await freeBytesOf(tmpdir())).toBeGreaterThan(0);
  });
});
