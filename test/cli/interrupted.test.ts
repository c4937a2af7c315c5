import { expect, it } from 'vitest';
import { orInterrupted } from '../../src/cli/offline/interrupted.ts';

it('gives the result of work that Ctrl-C does not reach', async () => {
  await expect(orInterrupted(Promise.resolve(7), new AbortController().signal)).resolves.toBe(7);
});

it('ends at Ctrl-C with what to do next, whenever it comes', async () => {
  const never = new Promise<number>(() => undefined);
  const interruption = new AbortController();
  const ended = orInterrupted(never, interruption.signal);
  interruption.abort();
  await expect(ended).rejects.toMatchObject({ code: 'CANCELLED', hint: expect.stringContaining('again') });
  await expect(orInterrupted(never, interruption.signal)).rejects.toMatchObject({ code: 'CANCELLED' });
});
