import { beforeEach, expect, it } from 'vitest';
import { HoldfastError } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { TokenUses } from '../../src/node/tokenUses.ts';
import type { AccessTokenRow } from '../../src/proto/users.ts';

const KEPT = { lastUsedMs: 1_000, addresses: ['10.0.0.1'] } as unknown as AccessTokenRow;

let nowMs: number;
let sent: string[];
let refusal: HoldfastError | null;
let uses: TokenUses;
beforeEach(() => {
  nowMs = 1_000;
  sent = [];
  refusal = null;
  uses = new TokenUses({
    nodeId: '00000000000000aa',
    store: { access: { token: (id: string) => (id === 'none' ? null : KEPT) } } as never,
    submit: {
      submit: ({ noteTokenUse }) => {
        if (refusal !== null) return Promise.reject(refusal);
        sent.push(`${noteTokenUse?.id} ${noteTokenUse?.address}`);
        return Promise.resolve({ done: {}, replayed: false });
      },
    },
    nowMs: () => nowMs,
  });
});

it('a use is told when the host is new, or the last one that is kept is long ago', async () => {
  uses.note('a', '10.0.0.1:1');
  uses.note('a', '10.0.0.2:1');
  uses.note('a', '10.0.0.2:2');
  uses.note('none', '10.0.0.2:1');
  await uses.flush(1);
  expect(sent).toEqual(['a 10.0.0.2:1']);
  nowMs += LIMITS.tokenUseNotedMs;
  uses.note('a', '10.0.0.1:1');
  await uses.flush(1);
  await uses.flush(1);
  expect(sent).toEqual(['a 10.0.0.2:1', 'a 10.0.0.1:1']);
});

it('what could not be told waits, no more than a bound, and goes out in portions', async () => {
  refusal = new HoldfastError('NO_LEADER', 'not now');
  for (let at = 0; at <= LIMITS.tokenUsesWaitingMax; at += 1) uses.note(`t${at}`, '10.0.0.2:1');
  await uses.flush(1);
  refusal = null;
  await uses.flush(1);
  expect(sent).toHaveLength(LIMITS.tokenUsesAtOnceMax);
  for (let turn = 0; turn < LIMITS.tokenUsesWaitingMax / LIMITS.tokenUsesAtOnceMax; turn += 1)
    await uses.flush(1);
  expect(new Set(sent).size).toBe(LIMITS.tokenUsesWaitingMax);
  expect(sent).toHaveLength(LIMITS.tokenUsesWaitingMax);
});
