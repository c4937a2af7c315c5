import { monitorEventLoopDelay } from 'node:perf_hooks';
import { waitFor } from '../faultProxy/waitFor.ts';
import { until } from '../until.ts';
import type { FaultKind } from './faultKind.ts';
import type { Scheduler } from './scheduler.ts';
import { isSame, type Standing } from './standing.ts';
import type { Target, World } from './target.ts';

/** How long the same leader has to have led before. */
const CALM_MS = 1_500;
/** An election that the fault has caused comes within this time of its end. */
const AFTERWARDS_MS = 2_000;
const AGREED_WITHIN_MS = 20_000;
/** Where this process itself had to wait for so long, others may have waited for an election timeout. */
const STARVED_MS = 400;
const TRIES_MAX = 5;

/**
 * Does something to a follower of a cluster that is well, and nothing else meanwhile: a leader that a majority hears
 * must go on to lead in its term. Among other faults an election may have any reason; on a machine that is too busy too.
 */
export async function checkSteadyLeader<T extends Target>(options: {
  readonly kinds: readonly FaultKind<T>[];
  readonly world: World<T>;
  readonly scheduler: Scheduler<T>;
  readonly note: (text: string) => void;
}): Promise<void> {
  const { kinds, world, scheduler, note } = options;
  const able = kinds.filter(({ toFollower }) => toFollower !== undefined);
  if (able.length === 0 || world.target.kind !== 'holdfast') return;
  const first = await agreed(world);
  await waitFor(CALM_MS);
  const before = await agreed(world);
  if (before === null || !isSame(first, before)) return;
  const followers = world.target.members().filter((name) => name !== before.leader);
  const delay = monitorEventLoopDelay({ resolution: 20 });
  delay.enable();
  for (let time = 0; time < TRIES_MAX; time += 1) {
    const kind = world.random.weighted(able);
    const name = world.random.one(followers);
    const record = await scheduler.one(kind, async () => (await kind.toFollower?.(world, name)) ?? null);
    if (record === null) continue;
    await waitFor(AFTERWARDS_MS);
    const after = await agreed(world);
    delay.disable();
    if (after === null || isSame(before, after)) return;
    const what = `${kind.name} (${record.what}) on a follower: ${told(before)} led before, ${told(after)} leads after`;
    if (delay.max > STARVED_MS * 1e6) note(`the machine is too busy to judge: ${what}`);
    else world.violation(`${what}\n${world.target.lastWords()}`);
    return;
  }
}

/** When all members answer and name the same leader; null: not in time. */
async function agreed(world: World): Promise<Standing | null> {
  let standing: Standing | null = null;
  await until(AGREED_WITHIN_MS, 'one leader', async () => {
    standing = await world.target.standing();
    return standing !== null;
  }).catch(() => undefined);
  return standing;
}

const told = ({ leader, term }: Standing): string => `${leader} in term ${term}`;
