import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/base/limits.ts';
import { type Command, type Outcome, outcomeCodec, type Principal } from '../../src/proto/storage.ts';
import { CLIENT, codeOf, command, NODE, put, read, remove, StoreRig, write } from './storeRig.ts';

describe('requests are applied once', () => {
  let rig: StoreRig;
  let clientId: number;
  const register = (principal: Principal = CLIENT): number =>
    rig.apply(command({ registerClient: {} }, principal))[0]?.client?.clientId ?? 0;
  const request = (number: number, floor = 1) => ({ clientId, number, floor });
  const send = (number: number, floor: number, value = 'v') =>
    rig.apply(write([put('key', value)], request(number, floor)))[0];

  beforeEach(async () => {
    rig = await StoreRig.create();
    clientId = register();
  });
  afterEach(() => rig.destroy());

  it('numbers clients by log index and position', () => {
    const ids = rig
      .apply(command({ registerClient: {} }), command({ registerClient: {} }))
      .map((one) => one.client?.clientId);
    expect([clientId, ...ids]).toEqual([4096, 2 * 4096, 2 * 4096 + 1]);
  });

  it('answers a repetition from memory, without the values it read', () => {
    rig.run(put('key', 'old'));
    const first = rig.apply(write([put('key', 'new', true), read('key'), remove('x')], request(1)))[0];
    const again = rig.apply(write([put('key', 'new', true), read('key'), remove('x')], request(1)))[0];
    expect(first?.transaction?.operations[0]?.put?.previous?.modRevision).toBe(1);
    expect(again).toEqual({
      transaction: {
        revision: 2,
        succeeded: true,
        operations: [
          { put: {} },
          { range: { items: [], count: 1, more: false } },
          { delete: { deleted: 0, previous: [] } },
        ],
      },
      replayed: true,
    });
    expect(rig.store.revision).toBe(2);
  });

  it('answers a repetition in the same entry', () => {
    const one = write([put('key', 'v')], request(1));
    expect(rig.apply(one, one).map(({ replayed }) => replayed)).toEqual([false, true]);
    expect(rig.store.revision).toBe(1);
  });

  it('keeps refusals as answers too', () => {
    const compact = (revision: number) => command({ compact: { revision }, request: request(1) });
    expect(codeOf(rig.apply(compact(5))[0])).toBe('FUTURE_REVISION');
    for (let round = 0; round < 5; round += 1) rig.run(put('key', String(round)));
    expect(rig.apply(compact(5))[0]).toMatchObject({ failure: { code: 'FUTURE_REVISION' }, replayed: true });
    expect(rig.store.compactedRevision).toBe(0);
  });

  it('refuses the same id with another body, and applies neither', () => {
    send(1, 1, 'a');
    expect(codeOf(send(1, 1, 'b'))).toBe('REQUEST_MISMATCH');
    expect(rig.store.revision).toBe(1);
  });

  it('forgets what lies below the floor', () => {
    for (const number of [1, 2, 3]) send(number, 1);
    expect(send(4, 3)?.replayed).toBe(false);
    expect([codeOf(send(1, 1)), codeOf(send(2, 2))]).toEqual(['REQUEST_FORGOTTEN', 'REQUEST_FORGOTTEN']);
    expect(send(3, 3)?.replayed).toBe(true);
    expect(rig.store.revision).toBe(4);
  });

  it('does not let a repetition raise the floor', () => {
    for (const number of [1, 2, 3]) send(number, 1);
    expect(send(3, 3)?.replayed).toBe(true);
    expect(send(1, 1)?.replayed).toBe(true);
  });

  it('takes a floor that jumps far', () => {
    send(1, 1);
    expect(send(2 ** 52, 2 ** 52)?.replayed).toBe(false);
    expect(codeOf(send(5, 5))).toBe('REQUEST_FORGOTTEN');
  });

  it('refuses an unknown client, and the client of another principal', () => {
    const other = { ...CLIENT, name: 'bob' };
    const commands = [
      write([put('key')], { clientId: 12_345, number: 1, floor: 1 }),
      command({ ...write([put('key')], request(1)) }, other),
    ];
    expect(rig.apply(...commands).map(codeOf)).toEqual(['REQUEST_FORGOTTEN', 'REQUEST_FORGOTTEN']);
    expect(
      rig
        .apply(command({ ...write([put('key')], request(1)) }, { ...CLIENT, address: 'elsewhere:9' }))
        .map(codeOf),
    ).toEqual(['none']);
    rig.apply(command({ closeClient: { clientId } }, other));
    expect(codeOf(send(2, 2))).toBe('none');
  });

  it('knows nothing of a closed client', () => {
    send(1, 1);
    expect(rig.apply(command({ closeClient: { clientId } }))[0]?.done).toEqual({});
    expect(codeOf(send(1, 1))).toBe('REQUEST_FORGOTTEN');
    expect(rig.store.size.clients).toBe(0);
  });

  it('closes a client by a request of its own', async () => {
    rig.apply(command({ closeClient: { clientId }, request: request(1) }));
    const digest = rig.store.digest;
    await rig.reopen();
    expect([rig.store.digest, rig.store.size.clients]).toEqual([digest, 0]);
  });

  it('holds the most answers of a client, and refuses one more without applying it', () => {
    const most = LIMITS.clientAnswersOutstandingMax;
    const commands = Array.from({ length: most }, (_, position) =>
      write([put('key')], request(position + 1)),
    );
    expect(new Set(rig.apply(...commands).map(codeOf))).toEqual(new Set(['none']));
    expect(codeOf(send(most + 1, 1))).toBe('OVERLOADED');
    expect(rig.store.revision).toBe(most);
    expect(send(most, 1, '')?.replayed).toBe(true);
    expect(codeOf(send(most + 1, 2))).toBe('none');
  });

  it('keeps answers of all clients up to what a node can hold, also after a restart, and again when one ends', async () => {
    const operations = Array.from({ length: LIMITS.transactionOperationsMax }, () => remove('nothing'));
    const perClient = LIMITS.clientAnswersOutstandingMax;
    const fill = (clientId: number) =>
      rig.apply(
        ...Array.from({ length: perClient }, (_, position) =>
          write(operations, { clientId, number: position + 1, floor: 1 }),
        ),
      );
    const clients: number[] = [];
    const codes: string[] = [];
    while (!codes.includes('OVERLOADED') && clients.length < 20) {
      const clientId = register();
      clients.push(clientId);
      codes.push(...fill(clientId).map(codeOf));
    }
    expect(codes.at(-1)).toBe('OVERLOADED');
    expect(clients.length).toBeGreaterThan(1);
    const last = register();
    const one = () => codeOf(rig.apply(write([put('key')], { clientId: last, number: 1, floor: 1 }))[0]);
    expect(one()).toBe('OVERLOADED');
    await rig.reopen();
    expect(one()).toBe('OVERLOADED');
    rig.apply(command({ closeClient: { clientId: clients[0] ?? 0 } }));
    expect(one()).toBe('none');
  });

  it('ends a client that was not used for ten minutes of log time, and not one that was', () => {
    const idle = register();
    rig.timeMs += LIMITS.clientIdleMs - 1;
    send(1, 1);
    rig.timeMs += 1;
    expect(rig.store.dueMs).toBe(rig.timeMs);
    rig.apply(command({ advanceTime: {} }));
    expect(rig.store.size.clients).toBe(1);
    expect(codeOf(send(2, 2))).toBe('none');
    expect(codeOf(rig.apply(write([put('key')], { clientId: idle, number: 1, floor: 1 }))[0])).toBe(
      'REQUEST_FORGOTTEN',
    );
  });

  it('does not count a repetition as use', async () => {
    send(1, 1);
    rig.timeMs += LIMITS.clientIdleMs - 1;
    expect(send(1, 1)?.replayed).toBe(true);
    await rig.reopen();
    rig.timeMs += 1;
    expect(codeOf(send(2, 2))).toBe('REQUEST_FORGOTTEN');
  });

  it('remembers after a restart exactly what it knew before', async () => {
    const numbers = Array.from({ length: 12 }, (_, position) => position + 1);
    for (const number of numbers)
      rig.apply(write([put('key', `${number}`, true)], request(number, Math.max(1, number - 4))));
    const ask = (): Outcome[] =>
      numbers.map(
        (number) => rig.apply(write([put('key', `${number}`, true)], request(number)))[0] as Outcome,
      );
    const before = ask();
    const { digest, revision } = rig.store;
    await rig.reopen();
    expect(rig.store.digest).toEqual(digest);
    expect(ask().map(plainOutcome)).toEqual(before.map(plainOutcome));
    expect(before.map(codeOf).filter((code) => code === 'REQUEST_FORGOTTEN')).toHaveLength(7);
    expect(rig.store.revision).toBe(revision);
  });

  it('drops the answers of an entry once none of them is kept', async () => {
    const empty = async () => {
      await rig.store.flushed();
      let rows = 0;
      const snapshot = await rig.store.openSnapshot();
      for await (const chunk of snapshot.rows())
        rows += chunk.filter(({ key }) => key[0] === 'a'.charCodeAt(0)).length;
      await snapshot.close();
      return rows;
    };
    rig.apply(write([put('key')], request(1)), write([put('key')], request(2)));
    rig.apply(write([put('key')], request(3, 2)));
    expect(await empty()).toBe(2);
    rig.apply(write([put('key')], request(4, 4)));
    expect(await empty()).toBe(1);
    rig.apply(command({ closeClient: { clientId } }));
    expect(await empty()).toBe(0);
  });

  it('registers clients up to the limit', () => {
    for (let who = 0; rig.store.size.clients < LIMITS.clientsMax; who += 1) {
      const left = LIMITS.clientsMax - rig.store.size.clients;
      const one = command({ registerClient: {} }, { ...CLIENT, name: `client${who}` });
      rig.apply(...Array<Command>(Math.min(LIMITS.clientsPerPrincipalMax, left)).fill(one));
    }
    expect(rig.store.size.clients).toBe(LIMITS.clientsMax);
    expect(codeOf(rig.apply(command({ registerClient: {} }))[0])).toBe('OVERLOADED');
  });

  it('registers clients of one principal up to its own limit, wherever it calls from, also after a restart', async () => {
    const fromElsewhere = { ...CLIENT, address: 'elsewhere:9' };
    const again = (principal: Principal = CLIENT) =>
      codeOf(rig.apply(command({ registerClient: {} }, principal))[0]);
    const most = LIMITS.clientsPerPrincipalMax;
    rig.apply(...Array<Command>(most).fill(command({ registerClient: {} })));
    expect([rig.store.size.clients, again(), again(fromElsewhere)]).toEqual([
      most,
      'OVERLOADED',
      'OVERLOADED',
    ]);
    const { digest } = rig.store;
    await rig.reopen();
    expect([rig.store.digest, again()]).toEqual([digest, 'OVERLOADED']);
    expect([again({ ...CLIENT, name: 'bob' }), again({ ...CLIENT, name: 'ad' })]).toEqual(['none', 'none']);
    rig.apply(command({ closeClient: { clientId } }));
    expect([again(fromElsewhere), again()]).toEqual(['none', 'OVERLOADED']);
    rig.timeMs += LIMITS.clientIdleMs;
    rig.apply(command({ advanceTime: {} }, NODE));
    expect([rig.store.size.clients, again()]).toEqual([0, 'none']);
  });

  it('is asked by principals only, and by nodes only for what is theirs', () => {
    const outcomes = rig.apply(
      { ...write([put('key')]), principal: null },
      command(write([put('key')]), NODE),
      command({ advanceTime: {} }, NODE),
      command({}),
    );
    expect(outcomes.map(codeOf)).toEqual([
      'INVALID_ARGUMENT',
      'PERMISSION_DENIED',
      'none',
      'INVALID_ARGUMENT',
    ]);
    expect(rig.store.revision).toBe(0);
  });
});

function plainOutcome(outcome: Outcome): unknown {
  return outcomeCodec.decode(outcomeCodec.encode(outcome));
}
