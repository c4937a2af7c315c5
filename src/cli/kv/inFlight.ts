const IN_FLIGHT_MAX = 64;

/**
 * Does `work` on each item in order, up to 64 at a time. Begins nothing new once interrupted or after a failure;
 * what is under way comes to its end before this settles.
 * @throws the first failure
 */
export async function inFlight<T>(
  items: readonly T[],
  interrupted: AbortSignal,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const failures: unknown[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    while (failures.length === 0 && !interrupted.aborted) {
      const position = next;
      next += 1;
      if (position >= items.length) return;
      try {
        await work(items[position] as T);
      } catch (thrown) {
        failures.push(thrown);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(IN_FLIGHT_MAX, items.length) }, worker));
  if (failures.length > 0) throw failures[0];
}
