import { expect, it } from 'vitest';
import { AnswerRoom } from '../../src/api/answerRoom.ts';

/** Whether it has been granted by now. */
async function isGranted(asked: Promise<void>): Promise<boolean> {
  return await Promise.race([asked.then(() => true), Promise.resolve(false).then(() => false)]);
}

it('a call that asks again for what it has waits for nothing, and gives back all that it has', async () => {
  const room = new AnswerRoom(10);
  const [one, other] = [{}, {}];
  await room.ask(one, 6);
  await room.ask(one, 6);
  const waiting = room.ask(other, 6);
  expect(await isGranted(waiting)).toBe(false);
  room.release(one);
  await waiting;
  room.release(other);
  // Nothing of it is left behind.
  await room.ask({}, 10);
});

it('a call that asks for more gives back all of it', async () => {
  const room = new AnswerRoom(10);
  const call = {};
  await room.ask(call, 3);
  await room.ask(call, 4);
  expect(await isGranted(room.ask({}, 4))).toBe(false);
  room.release(call);
  await room.ask({}, 6);
});

it('gives room in the order of asking, however many wait', async () => {
  const room = new AnswerRoom(1);
  const calls = Array.from({ length: 1_000 }, () => ({}));
  const granted: object[] = [];
  for (const call of calls) void room.ask(call, 1).then(() => granted.push(call));
  // One that gives up while it waits takes nobody's place.
  const given = calls.filter((_, at) => at !== 500);
  room.release(calls[500] ?? {});
  for (const call of given) {
    await Promise.resolve();
    expect(granted.at(-1)).toBe(call);
    room.release(call);
  }
  expect(granted).toEqual(given);
});
