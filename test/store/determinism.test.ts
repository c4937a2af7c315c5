import { afterEach, describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/base/limits.ts';
import { SeededRandom } from '../../src/base/random.ts';
import { type Command, commandBatchCodec, outcomeCodec } from '../../src/proto/storage.ts';
import type { AppliedEntry } from '../../src/store/types.ts';
import {
  CLIENT,
  command,
  NODE,
  placeAt,
  put,
  read,
  remove,
  StoreRig,
  sealerOf,
  transaction,
  write,
} from './storeRig.ts';

const HISTORY = { revisionsKept: 30, revisionsMax: 60, ageMs: 5_000, bytesMax: 2_000, stepRecordsMax: 4 };
const ENTRIES = 150;

/** Few names, so that they meet. */
const tokenId = (pick: (max: number) => number): string => `00000000000000a${pick(4)}`;
const roleName = (pick: (max: number) => number): string => ['role1', 'role2', 'viewer'][pick(3)] ?? '';

/** Users, by everybody who may be one; generations are guessed as the store makes them. */
function userCommand(pick: (max: number) => number, index: number): Command {
  const name = ['admin', 'ada', 'bob'][pick(3)] ?? '';
  const passwordHash = `$${'x'.repeat(pick(4))}`;
  const session = { generation: Math.max(0, index - pick(4)), session: `00000000000000b${pick(9)}` };
  const user = { kind: 'user', name, address: '127.0.0.1:4', ...session };
  const roles = Array.from({ length: 1 + pick(2) }, () => (pick(2) === 0 ? 'admin' : roleName(pick)));
  switch (pick(7)) {
    case 0:
      return command({ deleteUser: { name } });
    case 1:
      return command({ setPassword: { name, passwordHash, shownGeneration: 0 } });
    case 2:
      return command({ setUserRoles: { name, roles } });
    case 3:
      return command({ login: { passwordHash } }, user);
    case 4:
      return command({ endSession: {} }, user);
    case 5:
      return command({ resetAdmin: { id: tokenId(pick), passwordHash } }, NODE);
    default:
      return command({ createUser: { name, passwordHash, roles } });
  }
}

function accessCommand(pick: (max: number) => number): Command {
  switch (pick(5)) {
    case 0:
      return command({ deletePolicy: { role: roleName(pick) } });
    case 1:
      return command({ revokeAccessToken: { id: tokenId(pick) } });
    case 2: {
      const rules = [
        { path: pick(2) === 0 ? '**' : `k${pick(12)}`, capabilities: pick(3) === 0 ? [] : ['write'] },
      ];
      return command({ putPolicy: { policy: { role: roleName(pick), rules, admin: [] } } });
    }
    default: {
      const roles = Array.from({ length: 1 + pick(3) }, () => roleName(pick));
      const hash = { secretHash: Buffer.alloc(32, pick(9)), description: 'x'.repeat(pick(9)) };
      return command({ createAccessToken: { id: tokenId(pick), ...hash, roles, ttlMs: pick(2) * 3_000 } });
    }
  }
}

function auditCommand(pick: (max: number) => number): Command {
  if (pick(4) === 0) {
    const reads = Array.from({ length: pick(3) }, () => `k${pick(12)}`);
    return command({
      setAuditSettings: { settings: { reads, retentionMs: pick(2) * LIMITS.auditRetentionMsMin } },
    });
  }
  const page = {
    revision: pick(3) * pick(60),
    limit: pick(4),
    from: Buffer.alloc(0),
    history: pick(3) === 0,
  };
  const range = { start: Buffer.from(`k${pick(12)}`), end: Buffer.alloc(0) };
  const one = { start: range.start, end: Buffer.from(`${range.start.toString()}\0`) };
  const reads = [
    { range, ...page },
    { range: one, ...page },
  ];
  return command(
    { readValues: { reads } },
    pick(2) === 0 ? CLIENT : { kind: 'token', name: tokenId(pick), address: '' },
  );
}

/** A mixture of everything, the same for the same seed. Client ids are guessed as the store makes them. */
function entriesOf(seed: number): readonly AppliedEntry[] {
  const random = new SeededRandom(seed);
  const pick = (max: number) => random.integer({ min: 0, max });
  let timeMs = 1_700_000_000_000;
  const numbers = new Map<number, number>();
  const one = (index: number, sub: number): Command => {
    const key = `k${pick(12)}`;
    const clients = [...numbers.keys()];
    const clientId = clients[pick(clients.length + 1)] ?? 0;
    const number = (numbers.get(clientId) ?? 0) + pick(2);
    const request =
      clientId === 0 ? null : { clientId, number: Math.max(number, 1), floor: Math.max(1, number - pick(4)) };
    if (request !== null) numbers.set(clientId, number);
    switch (pick(14)) {
      case 0:
        numbers.set(index * 4096 + sub, 0);
        return command({ registerClient: {} });
      case 1:
        return write([remove(key, `k${pick(12)}`)], request);
      case 2:
        return write([put(key, `v${pick(1000)}`, true), read('k', 'l')], request);
      case 3:
        return command({
          createToken: { id: `t${pick(20)}`, secretHash: Buffer.alloc(32), role: 'voter', ttlMs: 4_000 },
        });
      case 4:
        return command({ compact: { revision: 1 + pick(index) } });
      case 5:
        return pick(4) === 0 && clientId > 0
          ? command({ closeClient: { clientId } })
          : command({ advanceTime: {} }, NODE);
      case 6:
        return pick(2) === 0 ? userCommand(pick, index) : accessCommand(pick);
      case 7:
        return command(
          { transaction: transaction(put(key, 'by a token')), request },
          { kind: 'token', name: tokenId(pick), address: '' },
        );
      case 8:
        return auditCommand(pick);
      default:
        return write([put(key, 'x'.repeat(pick(60)))], request);
    }
  };
  return Array.from({ length: ENTRIES }, (_, position): AppliedEntry => {
    const index = position + 1;
    timeMs += pick(100) === 0 ? 700_000 : pick(300);
    const commands = Array.from({ length: 1 + pick(6) }, (_, sub) => one(index, sub));
    // Through the wire, as every node gets it.
    const batch = commandBatchCodec.decode(commandBatchCodec.encode({ timeMs, commands }));
    return pick(10) === 0
      ? { kind: 'nothing', place: placeAt(index) }
      : { kind: 'commands', place: placeAt(index), batch };
  });
}

interface Run {
  readonly digests: readonly string[];
  readonly outcomes: readonly string[];
}

describe('apply', () => {
  const rigs: StoreRig[] = [];
  afterEach(async () => {
    for (const rig of rigs.splice(0)) await rig.destroy();
  });

  async function run(
    entries: readonly AppliedEntry[],
    between: (rig: StoreRig, index: number) => Promise<void>,
  ): Promise<Run> {
    const rig = await StoreRig.create({
      history: HISTORY,
      cacheBytesMax: 100,
      sealer: sealerOf('on', rigs.length + 1),
    });
    rigs.push(rig);
    const digests: string[] = [];
    const outcomes: string[] = [];
    for (const entry of entries) {
      const applied = rig.store.apply(entry);
      outcomes.push(...applied.outcomes.map((outcome) => outcomeCodec.encode(outcome).toString('hex')));
      digests.push(
        `${rig.store.revision}/${rig.store.compactedRevision}/${rig.store.digest.toString('hex')}`,
      );
      await between(rig, entry.place.index);
    }
    return { digests, outcomes };
  }

  it.each([1, 2, 3])(
    'gives the same digests and outcomes whenever it is flushed or restarted (seed %i)',
    async (seed) => {
      const entries = entriesOf(seed);
      const atOnce = await run(entries, async () => undefined);
      const flushed = await run(entries, (rig) => rig.store.flushed());
      const restarted = await run(entries, (rig, index) =>
        index % 7 === 0 ? rig.reopen() : Promise.resolve(),
      );
      expect(flushed).toEqual(atOnce);
      expect(restarted).toEqual(atOnce);
      expect(new Set(atOnce.digests).size).toBeGreaterThan(80);
      for (const code of ['PERMISSION_DENIED', 'UNAUTHENTICATED']) {
        const inHex = Buffer.from(code).toString('hex');
        expect(atOnce.outcomes.filter((outcome) => outcome.includes(inHex)).length, code).toBeGreaterThan(0);
      }
    },
  );

  it('takes the next entry only', async () => {
    const rig = await StoreRig.create();
    rigs.push(rig);
    const entry = (index: number) => ({ kind: 'nothing', place: placeAt(index) }) as const;
    rig.store.apply(entry(1));
    expect(() => rig.store.apply(entry(1))).toThrow(/I13/);
    expect(() => rig.store.apply(entry(3))).toThrow(/I13/);
    expect(() => rig.store.apply({ kind: 'nothing', place: { ...placeAt(2), term: 0 } })).toThrow(/I3/);
  });

  it('never lets the time of the log fall', async () => {
    const rig = await StoreRig.create();
    rigs.push(rig);
    rig.run(put('a', 'one'));
    const { timeMs } = rig;
    rig.timeMs -= 60_000;
    rig.run(put('a', 'two'));
    expect(rig.store.logTimeMs).toBe(timeMs);
  });
});
