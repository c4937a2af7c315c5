import { expect, it } from 'vitest';
import { PasswordSlots } from '../../src/access/passwordSlots.ts';
import { LIMITS } from '../../src/base/limits.ts';

it('a few passwords are looked at together, a few wait, and the others are turned away', async () => {
  const slots = new PasswordSlots();
  const ends: (() => void)[] = [];
  let most = 0;
  let running = 0;
  const work = async (): Promise<void> => {
    running += 1;
    most = Math.max(most, running);
    await new Promise<void>((resolve) => {
      ends.push(resolve);
    });
    running -= 1;
  };
  const count = LIMITS.passwordsAtOnceMax + LIMITS.passwordsWaitingMax;
  const all = Array.from({ length: count }, () => slots.run(work));
  await expect(slots.run(work)).rejects.toMatchObject({ code: 'OVERLOADED' });
  for (let done = 0; done < count; done += 1) {
    await expect.poll(() => ends.length).toBeGreaterThan(0);
    ends.shift()?.();
  }
  await Promise.all(all);
  expect([most, running]).toEqual([LIMITS.passwordsAtOnceMax, 0]);
});

it('work that fails gives its place to the next', async () => {
  const slots = new PasswordSlots();
  const fail = (): Promise<never> => Promise.reject(new Error('wrong'));
  for (let at = 0; at < 3 * LIMITS.passwordsAtOnceMax; at += 1)
    await expect(slots.run(fail)).rejects.toThrow('wrong');
  expect(await slots.run(() => Promise.resolve('right'))).toBe('right');
});
