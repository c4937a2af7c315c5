/** Waits until `condition` holds; fails with its last value of `describe` when it does not within `deadlineMs`. */
export async function waitFor(
  condition: () => boolean,
  options: { readonly deadlineMs?: number; readonly describe?: () => unknown } = {},
): Promise<void> {
  const end = performance.now() + (options.deadlineMs ?? 10_000);
  while (!condition()) {
    if (performance.now() > end) {
      throw new Error(`condition not reached: ${JSON.stringify(options.describe?.() ?? String(condition))}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
