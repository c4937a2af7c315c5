import { HoldfastError } from '../../src/base/errors.ts';

/** The HoldfastError that `run` throws or rejects with; anything else fails the test. */
export async function refusalOf(run: () => unknown): Promise<HoldfastError> {
  try {
    await run();
  } catch (thrown) {
    if (thrown instanceof HoldfastError) return thrown;
    throw thrown;
  }
  throw new Error('nothing was refused');
}
