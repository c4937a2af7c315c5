import { runningFailure } from './database.ts';
import type { Generation } from './generation.ts';
import type { FailureLatch } from './openGeneration.ts';
import type { ScrubPace } from './scrub.ts';

/** Work over every row of a generation, a stretch at a time, while the node goes on. */
export type Pass<Result> = (generation: Generation, pace: ScrubPace) => Promise<Result>;

/** The generation that is passed over, and whether it is still the one in force. */
export interface PassedOver {
  readonly generation: Generation;
  readonly isCurrent: () => boolean;
  readonly failure: FailureLatch;
}

/**
 * Runs a pass until it is through, or its generation is replaced or closed: then null. What it finds stops the node as
 * any failure of the state does.
 * @throws HoldfastError STATE_CORRUPT, DISK_FAILED
 */
export async function passOver<Result>(
  { generation, isCurrent, failure }: PassedOver,
  over: Pass<Result>,
  pace: ScrubPace,
): Promise<Result | null> {
  if (!isCurrent()) return null;
  try {
    return await over(generation, async (next) => (await pace(next)) && isCurrent());
  } catch (thrown) {
    if (!isCurrent()) return null;
    const error = runningFailure(thrown);
    failure.fail(error);
    throw error;
  }
}
