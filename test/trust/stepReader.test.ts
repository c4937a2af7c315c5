import { EventEmitter } from 'node:events';
import { beforeEach, describe, expect, it } from 'vitest';
import { StepReader } from '../../src/trust/stepReader.ts';

const WITHIN_MS = 5_000;

let source: EventEmitter;
let reader: StepReader<string>;
beforeEach(() => {
  source = new EventEmitter();
  reader = new StepReader<string>(source);
});

const says = (...steps: readonly string[]): void => {
  for (const step of steps) source.emit('data', step);
};

describe('a reader of steps', () => {
  it('gives a step to who waits for it, and keeps one that nobody waits for', async () => {
    const waiting = reader.next(WITHIN_MS);
    says('one');
    expect(await waiting).toBe('one');
    says('two');
    expect(await reader.next(WITHIN_MS)).toBe('two');
  });

  it('loses none of two that come in one turn', async () => {
    const waiting = reader.next(WITHIN_MS);
    says('one', 'two');
    expect([await waiting, await reader.next(WITHIN_MS)]).toEqual(['one', 'two']);
  });

  it('ends the conversation at a third one in the same turn', async () => {
    const waiting = reader.next(WITHIN_MS);
    says('one', 'two', 'three');
    expect([await waiting, await reader.next(WITHIN_MS)]).toEqual(['one', 'two']);
    await expect(reader.next(WITHIN_MS)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  });

  it.each(['end', 'close', 'cancelled'])(
    'gives out what was said before %s, and then says so',
    async (event) => {
      const waiting = reader.next(WITHIN_MS);
      says('one', 'two');
      source.emit(event);
      expect([await waiting, await reader.next(WITHIN_MS)]).toEqual(['one', 'two']);
      await expect(reader.next(WITHIN_MS)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    },
  );

  it('says the first of two reasons, to who waits and to who comes later', async () => {
    const waiting = reader.next(WITHIN_MS);
    source.emit('error', new Error('reset'));
    source.emit('close');
    await expect(waiting).rejects.toThrow('reset');
    await expect(reader.next(WITHIN_MS)).rejects.toThrow('reset');
  });

  it('gives up at its deadline, and for good', async () => {
    await expect(reader.next(1)).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    says('late');
    expect(await reader.next(WITHIN_MS)).toBe('late');
    await expect(reader.next(WITHIN_MS)).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' });
  });
});
