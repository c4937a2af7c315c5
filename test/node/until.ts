/** Waits until `condition` holds. @throws after `timeoutMs` */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string | (() => string),
  timeoutMs = 15_000,
): Promise<void> {
  const giveUpMs = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > giveUpMs)
      throw new Error(`waited too long: ${typeof what === 'string' ? what : what()}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
