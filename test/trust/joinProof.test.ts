import { status } from '@grpc/grpc-js';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { newClusterId, newNodeId, newStoreId } from '../../src/base/ids.ts';
import {
  type ClusterStep,
  type JoinerStep,
  type JoinResponse,
  joinChallengeCodec,
  joinRequestCodec,
  joinResponseCodec,
  joinService,
} from '../../src/proto/peer.ts';
import { type JoinOptions, joinCluster } from '../../src/trust/joinClient.ts';
import { JOIN_FORMAT } from '../../src/trust/joinFormat.ts';
import type { JoinCall } from '../../src/trust/joinService.ts';
import { parseJoinToken } from '../../src/trust/joinToken.ts';
import { callerProof } from '../../src/trust/proof.ts';
import { requireTls13 } from '../../src/trust/tls.ts';
import { newCluster, newNode, random, type TestCluster, type TestNode } from './cluster.ts';
import { controlKeyOf, FakeJoinPort, JWT_SECRET_FINGERPRINT } from './fakeJoinPort.ts';
import { JoinPeers, joinRequestOf, openJoin } from './joinPeers.ts';

const NOTHING = Buffer.alloc(0);

let cluster: TestCluster;
let node: TestNode;
let port: FakeJoinPort;
let peers: JoinPeers;

beforeAll(async () => {
  requireTls13();
  cluster = await newCluster();
  node = await newNode(cluster);
});
beforeEach(() => {
  port = new FakeJoinPort(cluster);
  peers = new JoinPeers();
});
afterEach(() => peers.close());

function join(token: string, choice: Partial<JoinOptions> = {}) {
  return joinCluster({
    token,
    nodeId: newNodeId(random),
    name: 'n2',
    peerAddress: 'n2.example.net:7441',
    apiAddress: '10.0.0.2:7440',
    controlKeys: [controlKeyOf(1)],
    jwtSecretFingerprints: [JWT_SECRET_FINGERPRINT],
    encryption: null,
    random,
    deadlineMs: systemClock.monotonicMs() + 10_000,
    clock: systemClock,
    ...choice,
  });
}

describe('a node that holds something else than the cluster', () => {
  const [ours, other] = [controlKeyOf(1).fingerprint, controlKeyOf(2).fingerprint];
  it.each<[string, Partial<JoinOptions>, string, string]>([
    [
      'control key',
      { controlKeys: [controlKeyOf(2)] },
      'CONTROL_KEY_MISMATCH',
      `the cluster has control key ${ours}, the node has ${other}`,
    ],
    [
      'encryption',
      { encryption: 'off' },
      'ENCRYPTION_MISMATCH',
      'the cluster has encryption on, the node is set to off',
    ],
    [
      'JWT secret',
      { jwtSecretFingerprints: [other] },
      'JWT_SECRET_MISMATCH',
      `the cluster has JWT secret ${JWT_SECRET_FINGERPRINT}, the node has ${other}`,
    ],
  ])('is told both values of its %s, and its token is still good', async (_what, choice, code, words) => {
    const address = await peers.serve(port, node);
    const { text } = port.newToken([address]);
    await expect(join(text, choice)).rejects.toMatchObject({ code, message: `${address}: ${words}` });
    expect([port.calls, port.learners]).toEqual([0, []]);
    await expect(join(text)).resolves.toMatchObject({ role: 'voter' });
  });

  it.each(['on', null] as const)('is let in when it is set to %s', async (encryption) => {
    const { text } = port.newToken([await peers.serve(port, node)]);
    await expect(join(text, { encryption })).resolves.toMatchObject({ role: 'voter' });
  });

  it('proves whichever of its keys is in force, wherever it lists it', async () => {
    const { text } = port.newToken([await peers.serve(port, node)]);
    const controlKeys = [controlKeyOf(3), controlKeyOf(2), controlKeyOf(1)];
    await expect(join(text, { controlKeys })).resolves.toMatchObject({ role: 'voter' });
  });

  it('is not let in when other keys come into force while it joins', async () => {
    const { text } = port.newToken([await peers.serve(port, node)]);
    port.beforeUse = () => {
      port.keyByte = 2;
      return Promise.resolve();
    };
    await expect(join(text)).rejects.toMatchObject({ code: 'CONTROL_KEY_MISMATCH' });
    expect(port.learners).toEqual([]);
  });

  it('learns nothing of the cluster without a token', async () => {
    const { text } = new FakeJoinPort(cluster).newToken([await peers.serve(port, node)]);
    const refusal = join(text, { controlKeys: [controlKeyOf(2)] });
    await expect(refusal).rejects.toMatchObject({ code: 'TOKEN_UNKNOWN' });
    await expect(refusal).rejects.not.toThrow(ours);
  });
});

describe('whoever has a token and not the key', () => {
  /** A challenge, and what is needed to answer it. */
  async function challenged() {
    const address = await peers.serve(port, node);
    const { text } = port.newToken([address]);
    const { request, csrKeyHash } = await joinRequestOf(parseJoinToken(text));
    const callerSaid = joinRequestCodec.encode(request);
    const open = async () => {
      const call = openJoin(address, cluster.authority.certificate);
      call.say({ request: callerSaid, proof: NOTHING });
      const { challenge } = await call.hear();
      return { ...call, challenge };
    };
    const conversation = {
      purpose: 'join',
      callerSaid,
      caller: csrKeyHash,
      answerer: node.certificate,
    } as const;
    return { open, conversation };
  }

  const refused = { details: expect.stringContaining('did not prove') as string };

  it('is refused with a proof of another key, of none, and of a wrong length', async () => {
    const { open, conversation } = await challenged();
    const forge: ((answererSaid: Uint8Array) => Buffer)[] = [
      (answererSaid) => callerProof(controlKeyOf(2), { ...conversation, answererSaid }),
      () => Buffer.alloc(32),
      () => Buffer.alloc(31),
      () => NOTHING,
    ];
    for (const proofFor of forge) {
      const call = await open();
      call.say({ request: NOTHING, proof: proofFor(call.challenge) });
      await expect(call.hear()).rejects.toMatchObject(refused);
    }
    expect(port.calls).toBe(0);
  });

  it('is refused with a proof that was recorded, word for word', async () => {
    const { open, conversation } = await challenged();
    const first = await open();
    const proof = callerProof(controlKeyOf(1), { ...conversation, answererSaid: first.challenge });
    first.say({ request: NOTHING, proof });
    const { response } = await first.hear();
    expect(joinResponseCodec.decode(response)).toMatchObject({ role: 'voter' });
    const again = await open();
    expect(again.challenge).not.toEqual(first.challenge);
    again.say({ request: NOTHING, proof });
    await expect(again.hear()).rejects.toMatchObject(refused);
    expect(port.calls).toBe(1);
  });

  it('is refused with the cluster’s own answer sent back', async () => {
    const { open, conversation } = await challenged();
    const first = await open();
    const proof = callerProof(controlKeyOf(1), { ...conversation, answererSaid: first.challenge });
    first.say({ request: NOTHING, proof });
    const answer = await first.hear();
    expect(answer.proof).toHaveLength(32);
    const again = await open();
    again.say({ request: NOTHING, proof: answer.proof });
    await expect(again.hear()).rejects.toMatchObject(refused);
  });

  it('gets no further with the conversation of another node that it relays', async () => {
    // It has a certificate of the cluster's CA, as a node that was removed has.
    const { text, said } = await relayed(await newNode(cluster));
    await expect(join(text)).rejects.toThrow('the relay was refused');
    expect(said).toEqual(['challenge', 'refused']);
    expect(port.calls).toBe(0);
  });
});

/** A token for one who passes every step on between a joiner and the cluster, and may change it on the way. */
async function relayed(relaying: TestNode, change: (step: ClusterStep) => ClusterStep = (step) => step) {
  const address = await peers.serve(port, node);
  const said: string[] = [];
  const relay = async (call: JoinCall): Promise<void> => {
    call.on('error', () => undefined);
    const onward = openJoin(address, cluster.authority.certificate);
    call.on('data', (step: JoinerStep) => onward.say(step));
    for (;;) {
      const step: ClusterStep | null = await onward.hear().catch(() => null);
      if (step === null) {
        said.push('refused');
        call.emit('error', { code: status.FAILED_PRECONDITION, details: 'the relay was refused' });
        return;
      }
      said.push(step.response.length > 0 ? 'response' : 'challenge');
      call.write(change(step));
    }
  };
  const handlers = { join: (call: JoinCall) => void relay(call) };
  const relayAddress = await peers.serveStrangers(() => ({ definition: joinService, handlers }), relaying);
  return { text: port.newToken([relayAddress]).text, said };
}

describe('whoever has the TLS key of the leader and not the control key', () => {
  /** What it passes on, with another response in place of the cluster's. */
  const altered =
    (change: (response: JoinResponse) => object) =>
    (step: ClusterStep): ClusterStep => {
      if (step.response.length === 0) return step;
      const response = joinResponseCodec.decode(step.response);
      return { ...step, response: joinResponseCodec.encode({ ...response, ...change(response) }) };
    };

  it('can pass a join on', async () => {
    const { text } = await relayed(node);
    await expect(join(text)).resolves.toMatchObject({ role: 'voter' });
  });

  it('cannot have a CA of its own trusted, nor change anything else that the joiner is given', async () => {
    const foreign = await newCluster();
    const { certificate } = foreign.authority;
    const changes: ((response: JoinResponse) => object)[] = [
      ({ trustedAuthorities }) => ({ trustedAuthorities: [...trustedAuthorities, certificate] }),
      () => ({ role: 'learner' }),
      ({ members }) => ({ members: members.map((member) => ({ ...member, peerAddress: 'evil.example:1' })) }),
      () => ({ keyring: Buffer.from('{"keys":["another"]}') }),
      () => ({ nodeCertificate: Buffer.alloc(0) }),
      () => ({ storeId: newStoreId(random) }),
    ];
    for (const change of changes) {
      const { text, said } = await relayed(node, altered(change));
      await expect(join(text)).rejects.toMatchObject({ code: 'CONTROL_KEY_MISMATCH', field: 'control_key' });
      expect(said).toContain('response');
    }
  });

  it('cannot leave the response out', async () => {
    const { text } = await relayed(node, (step) =>
      step.proof.length > 0 ? { ...step, response: NOTHING } : step,
    );
    await expect(join(text)).rejects.toMatchObject({ code: 'CONTROL_KEY_MISMATCH' });
  });
});

describe('an answer of the cluster itself', () => {
  it.each(['clusterId', 'storeId'] as const)(
    'is refused with another %s than its challenge has',
    async (id) => {
      const { text } = port.newToken([await peers.serve(port, node)]);
      const other = { clusterId: newClusterId(random), storeId: newStoreId(random) };
      port.beforeUse = async () => {
        Object.assign(port, { [id]: other[id] });
        return Promise.resolve();
      };
      await expect(join(text)).rejects.toMatchObject({
        code: 'INVALID_ARGUMENT',
        message: expect.stringContaining('than its challenge') as string,
      });
    },
  );
});

describe('a cluster that is none', () => {
  async function impostor(answer: (step: JoinerStep, call: JoinCall) => void): Promise<string> {
    const join = (call: JoinCall): void => {
      call.on('error', () => undefined);
      call.on('data', (step: JoinerStep) => answer(step, call));
    };
    const address = await peers.serveStrangers(() => ({ definition: joinService, handlers: { join } }), node);
    return port.newToken([address]).text;
  }

  const challengeStep = (change: object = {}): ClusterStep => ({
    challenge: joinChallengeCodec.encode({
      format: JOIN_FORMAT,
      nonce: random.bytes(32),
      clusterId: cluster.clusterId,
      storeId: port.storeId,
      ...port.terms(),
      ...change,
    }),
    response: NOTHING,
    proof: NOTHING,
  });

  it('is found out by a response without the proof of the key', async () => {
    // No message at all: nothing of a response is read before its proof.
    const answer = { challenge: NOTHING, response: Buffer.from([0xff]), proof: Buffer.alloc(32) };
    const text = await impostor(({ request }, call) =>
      call.write(request.length > 0 ? challengeStep() : answer),
    );
    await expect(join(text)).rejects.toMatchObject({ code: 'CONTROL_KEY_MISMATCH' });
  });

  it.each<[string, object, string]>([
    ['another control key', { controlKeyFingerprint: controlKeyOf(2).fingerprint }, 'CONTROL_KEY_MISMATCH'],
    ['another JWT secret', { jwtSecretFingerprint: controlKeyOf(2).fingerprint }, 'JWT_SECRET_MISMATCH'],
    ['another format', { format: JOIN_FORMAT - 1 }, 'VERSION_UNSUPPORTED'],
    ['a short nonce', { nonce: Buffer.alloc(31) }, 'INVALID_ARGUMENT'],
  ])('hears no proof when it names %s', async (_what, change, code) => {
    const proofs: Uint8Array[] = [];
    const text = await impostor(({ proof }, call) => {
      if (proof.length > 0) proofs.push(proof);
      else call.write(challengeStep(change));
    });
    await expect(join(text)).rejects.toMatchObject({ code });
    expect(proofs).toEqual([]);
  });

  it('hears no proof when its toggle is not the one the node is set to', async () => {
    const text = await impostor((_step, call) => call.write(challengeStep({ encryption: 'off' })));
    await expect(join(text, { encryption: 'on' })).rejects.toMatchObject({ code: 'ENCRYPTION_MISMATCH' });
  });
});
