import { createSecretKey } from 'node:crypto';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { type NodeId, newClusterId, newStoreId } from '../../src/base/ids.ts';
import { systemRandom } from '../../src/base/random.ts';
import { ControlKey } from '../../src/envelope/controlKey.ts';
import { createJoinPort } from '../../src/node/joinPort.ts';
import type { JoinPort, TokenUse } from '../../src/trust/joinService.ts';
import { command, NODE, StoreRig } from '../store/storeRig.ts';

const A = '00000000000000aa' as NodeId;
const B = '00000000000000bb' as NodeId;
const hash = (byte: number) => Buffer.alloc(32, byte);
const TOKEN = { id: 't', secretHash: hash(1) };
const use = (nodeId: NodeId, key: number): TokenUse => ({ ...TOKEN, nodeId, csrKeyHash: hash(key) });

let rig: StoreRig;
let nowMs: number;
let port: JoinPort;
const asked: object[] = [];
beforeEach(async () => {
  rig = await StoreRig.create();
  rig.apply(command({ createToken: { ...TOKEN, role: 'voter', ttlMs: 1_000 } }));
  nowMs = rig.timeMs;
  asked.length = 0;
  const random = systemRandom;
  const identity = {
    clusterId: newClusterId(random),
    storeId: newStoreId(random),
    nodeId: A,
    name: 'n1',
    instance: '',
    format: 1,
  };
  const member = {
    nodeId: B,
    name: 'n2',
    peerAddress: 'n2:7441',
    apiAddress: 'n2:7440',
    wantedRole: 'voter',
  };
  port = createJoinPort({
    identity,
    store: {
      authority: null,
      members: [member],
      member: (nodeId) => (nodeId === B ? member : null),
      token: (id) => rig.store.token(id),
      get logTimeMs() {
        return rig.store.logTimeMs;
      },
    },
    submit: {
      submit: (submission) => {
        asked.push(submission);
        return Promise.reject(new Error('nothing is submitted here'));
      },
    },
    read: { linearizable: () => Promise.resolve() },
    membership: { addLearner: () => Promise.resolve(), checkRoom: () => undefined },
    leadership: { isLeader: false, leader: B },
    stampMs: () => nowMs,
    storedKeyring: () => Buffer.alloc(0),
    terms: () => ({ controlKeyFingerprint: '', jwtSecretFingerprint: '', encryption: 'on' }),
    controlKey: () => new ControlKey(createSecretKey(hash(1))),
    issuer: { issue: () => Promise.reject(new Error('nothing is issued here')) },
    clock: systemClock,
  });
});
afterEach(() => rig.destroy());

it('a token is judged by log time as it is now, though nothing was written since, and costs no entry', async () => {
  await port.checkToken(TOKEN);
  await expect(port.checkToken({ ...TOKEN, secretHash: hash(2) })).rejects.toMatchObject({
    code: 'TOKEN_UNKNOWN',
    field: 'token',
  });
  await expect(port.checkToken({ ...TOKEN, id: 'x' })).rejects.toMatchObject({ code: 'TOKEN_UNKNOWN' });
  nowMs += 999;
  await port.checkToken(TOKEN);
  nowMs += 1;
  const expired = { code: 'TOKEN_EXPIRED', field: 'token', hint: expect.any(String) as string };
  await expect(port.checkToken(TOKEN)).rejects.toMatchObject(expired);
  expect(() => port.checkTokenUse(use(B, 2))).toThrow(expect.objectContaining(expired));
  expect(asked).toEqual([]);
});

it('a token that a node has used is good for that node and key alone', () => {
  port.checkTokenUse(use(B, 2));
  rig.apply(command({ useToken: use(B, 2) }, NODE));
  port.checkTokenUse(use(B, 2));
  for (const other of [use(A, 2), use(B, 3)])
    expect(() => port.checkTokenUse(other)).toThrow(expect.objectContaining({ code: 'TOKEN_USED' }));
  expect(asked).toEqual([]);
});

it('where the leader is, is for those whose token is good as far as this node knows', () => {
  expect(port.leaderPeerAddress(TOKEN)).toBe('n2:7441');
  expect(port.leaderPeerAddress({ ...TOKEN, secretHash: hash(2) })).toBeNull();
  expect(port.leaderPeerAddress({ ...TOKEN, id: 'x' })).toBeNull();
  rig.timeMs += 1_000;
  rig.apply(command({ createToken: { ...TOKEN, id: 'later', role: 'voter', ttlMs: 1_000 } }));
  expect(port.leaderPeerAddress(TOKEN)).toBeNull();
});
