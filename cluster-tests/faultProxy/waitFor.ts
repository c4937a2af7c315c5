/** Resolves after so many milliseconds, or at once when the signal is aborted. Never rejects. */
export function waitFor(forMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted === true) {
      resolve();
      return;
    }
    const over = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', over);
      resolve();
    };
    const timer = setTimeout(over, Math.max(0, forMs));
    signal?.addEventListener('abort', over);
  });
}
