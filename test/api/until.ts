/** Waits until `condition` holds. @throws after `timeoutMs` */
export async function until(condition: () => boolean, what: string, timeoutMs = 5_000): Promise<void> {
  const giveUpMs = Date.now() + timeoutMs;
  while (!condition()) {
    if (Date.now() > giveUpMs) throw new Error(`waited too long: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** How long a fake node takes for an answer. Not for waiting in a test. */
export function answerAfter(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
