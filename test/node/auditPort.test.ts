import { beforeEach, describe, expect, it } from 'vitest';
import type { Caller } from '../../src/api/ports.ts';
import type { ChainedRecord } from '../../src/audit/record/chain.ts';
import { NodeAuditPort } from '../../src/node/auditPort.ts';
import { chainOf } from '../api/fakeAudit.ts';

const CHAIN = chainOf({}, {}, {}, {}, {}, {});
const ALL = { sinceMs: 0, untilMs: 0, limit: 0, principal: '', action: '', resource: '', result: '' };

let kept: readonly ChainedRecord[];
let checkpoint: { readonly sequence: number } | null;
/** Called before each portion but the first. */
let between: () => void;
beforeEach(() => {
  kept = CHAIN;
  checkpoint = null;
  between = () => undefined;
});
const prune = (sequence: number) => {
  kept = CHAIN.slice(sequence);
  checkpoint = { sequence };
};

/** Portions of two records, each as it is kept by then. */
async function* portions({ sequence: first }: { readonly sequence: number }) {
  let next = first;
  for (;;) {
    const portion = kept.filter(({ sequence }) => sequence >= next).slice(0, 2);
    const last = portion.at(-1);
    if (last === undefined) return;
    yield await Promise.resolve(portion);
    next = last.sequence + 1;
    between();
  }
}

const list = async (fromSequence: number): Promise<readonly number[]> => {
  const store = {
    audit: {
      get rules() {
        return { checkpoint };
      },
    },
    auditRecords: portions,
    flushed: () => Promise.resolve(),
  };
  const authorisation = { requireAreaCaughtUp: () => Promise.resolve() };
  const port = new NodeAuditPort({ store, authorisation } as never);
  const { records } = await port.list({} as Caller, { ...ALL, fromSequence });
  return records.map(({ sequence }) => sequence);
};

describe('a page of the audit', () => {
  it('begins with the oldest record that is kept, or where it is asked to', async () => {
    expect(await list(0)).toEqual([1, 2, 3, 4, 5, 6]);
    prune(2);
    expect(await list(0)).toEqual([3, 4, 5, 6]);
    expect(await list(3)).toEqual([3, 4, 5, 6]);
  });

  it.each([1, 2])('that goes on with record %i is refused once that has gone', async (sequence) => {
    prune(2);
    await expect(list(sequence)).rejects.toMatchObject({ code: 'COMPACTED', field: 'from_sequence' });
  });

  it('is refused when records of it go while it is read', async () => {
    between = () => prune(4);
    await expect(list(0)).rejects.toMatchObject({ code: 'COMPACTED', field: 'from_sequence' });
  });
});
