import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/base/limits.ts';
import type { Member, StoredConfiguration } from '../../src/proto/storage.ts';
import { codeOf, command, NODE, placeAt, StoreRig } from './storeRig.ts';

const NODE_A = '00000000000000aa';
const NODE_B = '00000000000000bb';
const hash = (byte: number) => Buffer.alloc(32, byte);
const member = (nodeId: string, name = 'n'): Member => ({
  nodeId,
  name,
  peerAddress: 'p:1',
  apiAddress: 'a:1',
  wantedRole: 'voter',
});
const CONFIGURATION: StoredConfiguration = {
  voters: [NODE_A],
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
};

let rig: StoreRig;
beforeEach(async () => {
  rig = await StoreRig.create();
});
afterEach(() => rig.destroy());

function configure(change: {
  member?: Member;
  removed?: string[];
  voters?: string[];
  timeMs?: number;
}): void {
  rig.store.apply({
    kind: 'configuration',
    place: placeAt(rig.store.applied.index + 1),
    configuration: { ...CONFIGURATION, voters: change.voters ?? [NODE_A] },
    removed: change.removed ?? [],
    member: change.member ?? null,
    timeMs: change.timeMs ?? rig.timeMs,
  });
}

describe('join tokens', () => {
  const create = (id = 't', ttlMs = 1_000, role = 'learner') =>
    rig.apply(command({ createToken: { id, secretHash: hash(1), role, ttlMs } }))[0];
  const use = (given: { id?: string; secret?: number; nodeId?: string; key?: number } = {}) => {
    const { id = 't', secret = 1, nodeId = NODE_B, key = 2 } = given;
    const useToken = { id, secretHash: hash(secret), nodeId, csrKeyHash: hash(key) };
    return rig.apply(command({ useToken }, NODE))[0];
  };

  it('are listed as they are kept, the oldest first', async () => {
    create('b');
    rig.timeMs += 1;
    create('a');
    use({ id: 'b' });
    await rig.reopen();
    expect(rig.store.tokens.map(({ id, createdMs, nodeId }) => ({ id, createdMs, nodeId }))).toEqual([
      { id: 'b', createdMs: rig.timeMs - 1, nodeId: NODE_B },
      { id: 'a', createdMs: rig.timeMs, nodeId: '' },
    ]);
  });

  it('give their role, again and again to one pair of node and key', async () => {
    create();
    expect(use()?.token).toEqual({ role: 'learner' });
    const digest = rig.store.digest;
    await rig.reopen();
    expect(rig.store.digest).toEqual(digest);
    const kept = rig.store.tokens;
    expect(use()?.token).toEqual({ role: 'learner' });
    expect(rig.store.tokens).toEqual(kept);
    expect([codeOf(use({ nodeId: '00000000000000cc' })), codeOf(use({ key: 3 }))]).toEqual([
      'TOKEN_USED',
      'TOKEN_USED',
    ]);
  });

  it.each([
    ['an unknown id', { id: 'x' }, 'TOKEN_UNKNOWN'],
    ['a wrong secret', { secret: 9 }, 'TOKEN_UNKNOWN'],
    ['a member of another key', { nodeId: NODE_A }, 'NODE_ID_REUSED'],
  ])('%s', (_what, given, code) => {
    configure({ member: member(NODE_A) });
    create();
    expect(codeOf(use(given))).toBe(code);
    expect(use()?.token?.role).toBe('learner');
  });

  it('end with their time, by the clock of the log', () => {
    create('t', 1_000);
    rig.timeMs += 999;
    expect(codeOf(use())).toBe('none');
    rig.timeMs += 1;
    expect(codeOf(use())).toBe('TOKEN_EXPIRED');
    expect(codeOf(use({ secret: 9 }))).toBe('TOKEN_UNKNOWN');
    rig.timeMs += LIMITS.joinTokenKeptMs - 1;
    expect(codeOf(use())).toBe('TOKEN_EXPIRED');
    expect(rig.store.dueMs).toBe(rig.timeMs + 1);
    rig.timeMs += 1;
    expect(codeOf(use())).toBe('TOKEN_UNKNOWN');
    expect(rig.store.size.tokens).toBe(0);
  });

  it('are not for a node that was removed, even one that used them before', () => {
    create();
    use();
    configure({ member: member(NODE_B), voters: [NODE_A, NODE_B] });
    expect(codeOf(use())).toBe('none');
    configure({ removed: [NODE_B] });
    expect(codeOf(use())).toBe('NODE_ID_REUSED');
  });

  it('can be revoked, once', () => {
    create();
    expect(rig.apply(command({ revokeToken: { id: 't' } })).map(codeOf)).toEqual(['none']);
    expect(codeOf(use())).toBe('TOKEN_UNKNOWN');
    expect(rig.apply(command({ revokeToken: { id: 't' } })).map(codeOf)).toEqual(['TOKEN_UNKNOWN']);
  });

  it('have an id of their own, and are not too many', () => {
    create();
    expect(codeOf(create())).toBe('INVALID_ARGUMENT');
    for (let count = 1; count < LIMITS.joinTokensMax; count += 1) create(`t${count}`);
    expect(codeOf(create('more'))).toBe('OVERLOADED');
    expect(rig.store.size.tokens).toBe(LIMITS.joinTokensMax);
  });
});

describe('members', () => {
  const bootstrap = (privateKey = 'key') =>
    command(
      {
        bootstrap: {
          authorityCertificate: Buffer.from('cert'),
          authorityPrivateKey: Buffer.from(privateKey),
          member: member(NODE_A),
        },
      },
      NODE,
    );

  it('begin with the bootstrap, which happens once', async () => {
    expect(rig.store.authority).toBeNull();
    expect(rig.apply(bootstrap(), bootstrap('other')).map(codeOf)).toEqual(['none', 'INVALID_ARGUMENT']);
    for (let round = 0; round < 2; round += 1) {
      expect(rig.store.authority).toEqual({
        certificate: Buffer.from('cert'),
        privateKey: Buffer.from('key'),
      });
      expect(rig.store.members).toEqual([member(NODE_A)]);
      expect(rig.apply(bootstrap()).map(codeOf)).toEqual(['INVALID_ARGUMENT']);
      await rig.reopen();
    }
  });

  it('come, change and go with the configuration, and never come back', async () => {
    rig.apply(bootstrap());
    configure({ member: member(NODE_B, 'old'), voters: [NODE_A, NODE_B] });
    configure({ member: member(NODE_B, 'new'), voters: [NODE_A, NODE_B] });
    expect(rig.store.member(NODE_B)?.name).toBe('new');
    configure({ removed: [NODE_B] });
    configure({ removed: [NODE_B] });
    const digest = rig.store.digest;
    await rig.reopen();
    expect(rig.store.digest).toEqual(digest);
    expect(rig.store.member(NODE_B)).toBeNull();
    expect([rig.store.isRemoved(NODE_B), rig.store.isRemoved(NODE_A)]).toEqual([true, false]);
    expect(rig.store.configuration).toEqual(CONFIGURATION);
  });

  it('go the same way in whatever order they are named', async () => {
    const digests: Buffer[] = [];
    for (const removed of [
      [NODE_A, NODE_B],
      [NODE_B, NODE_A],
    ]) {
      rig.apply(bootstrap());
      configure({ member: member(NODE_B) });
      configure({ removed });
      digests.push(rig.store.digest);
      await rig.destroy();
      rig = await StoreRig.create();
    }
    expect(digests[0]).toEqual(digests[1]);
  });

  it('keep the time of their entries', () => {
    configure({ timeMs: rig.timeMs + 5 });
    expect(rig.store.logTimeMs).toBe(rig.timeMs + 5);
    rig.apply(command({ advanceTime: {} }));
    expect(rig.store.logTimeMs).toBe(rig.timeMs + 5);
  });
});
