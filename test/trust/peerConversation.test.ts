import { Client, credentials, type ServerDuplexStream, status } from '@grpc/grpc-js';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/base/limits.ts';
import { silentLogger } from '../../src/base/logger.ts';
import { type ProofStep, peerService, peerStatementCodec, proofStepCodec } from '../../src/proto/peer.ts';
import type { MethodDefinition } from '../../src/proto/registry.ts';
import { GrpcPeerTransport } from '../../src/replication/transport/grpcPeerTransport.ts';
import { nodeIdentity } from '../../src/trust/identity.ts';
import { callerProof } from '../../src/trust/proof.ts';
import { StepReader } from '../../src/trust/stepReader.ts';
import { NO_METHODS, QUIET_GATE, testJoin } from '../replication/transport/testPeers.ts';
import { waitFor } from '../replication/transport/waitFor.ts';
import { random, type TestNode } from './cluster.ts';
import { controlKeyOf } from './fakeJoinPort.ts';
import { connected, type Holds, type Member, ProvingMembers, STORE, termsOf } from './provingMembers.ts';

const NOTHING = Buffer.alloc(0);
const WITHIN_MS = 5_000;

let members: ProvingMembers;

beforeAll(async () => {
  members = await ProvingMembers.create();
});
afterEach(() => members.stopAll());

const member = (index: number, holds?: Holds): Promise<Member> => members.start(index, holds);

describe('with nothing but a certificate', () => {
  function clientOf({ material }: TestNode, to: Member): Client {
    return new Client(
      `dns:127.0.0.1:${to.transport.port}`,
      credentials.createSsl(material.ca, material.key, material.cert),
      { 'grpc.use_local_subchannel_pool': 1 },
    );
  }

  function prove(client: Client) {
    const method = peerService['prove'] as MethodDefinition<ProofStep, ProofStep>;
    const stream = client.makeBidiStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
    );
    const reader = new StepReader<ProofStep>(stream);
    return { say: (step: ProofStep) => void stream.write(step), hear: () => reader.next(WITHIN_MS) };
  }

  const statementOf = (node: TestNode, holds: Holds = {}): Buffer =>
    peerStatementCodec.encode({ ...termsOf(node, holds), nonce: random.bytes(32) });

  it.each(['control', 'bulk', 'pullSnapshot'] as const)('nothing is heard: %s', async (name) => {
    const a = await member(0);
    const client = clientOf(members.nodes[1] as TestNode, a);
    const method = peerService[name] as MethodDefinition<object, object>;
    const stream = client.makeBidiStreamRequest(method.path, () => NOTHING, method.responseDeserialize);
    stream.on('error', () => undefined);
    const ended = new Promise<{ code: number; details: string }>((resolve) => stream.on('status', resolve));
    stream.write({});
    stream.end();
    expect(await ended).toMatchObject({ details: 'nothing is heard before Prove' });
    client.close();
    expect(a.transport.refused.get('notProved')).toBe(1);
  });

  it('a statement earns nothing: neither a proof nor a hearing', async () => {
    const a = await member(0);
    const b = members.nodes[1] as TestNode;
    const forge: ((said: { own: Buffer; their: Uint8Array }) => Buffer)[] = [
      () => NOTHING,
      () => Buffer.alloc(32),
      ({ own, their }) => callerProof(controlKeyOf(2), conversation({ own, their }, { a, b })),
    ];
    for (const proofFor of forge) {
      const client = clientOf(b, a);
      const call = prove(client);
      const own = statementOf(b);
      call.say({ statement: own, proof: NOTHING });
      const { statement: their } = await call.hear();
      call.say({ statement: NOTHING, proof: proofFor({ own, their }) });
      await expect(call.hear()).rejects.toMatchObject({
        details: expect.stringContaining('did not prove') as string,
      });
      client.close();
    }
    expect(a.proved).toEqual([]);
    expect(a.refused.map(({ code }) => code)).toEqual(forge.map(() => 'CONTROL_KEY_MISMATCH'));
  });

  it.each<[string, (node: TestNode) => Buffer]>([
    ['rubbish', () => Buffer.from('rubbish')],
    ['nothing', () => NOTHING],
    ['the name of another node', () => statementOf(members.nodes[2] as TestNode)],
    ['a cluster id that is any text', (node) => statementOf(node, { terms: { clusterId: '\u001b[2J' } })],
    ['a store id that is any text', (node) => statementOf(node, { terms: { storeId: 'x'.repeat(1_000) } })],
    ['no fingerprint', (node) => statementOf(node, { terms: { controlKeyFingerprints: [] } })],
    ['no start', (node) => statementOf(node, { terms: { starts: 0 } })],
    ['no process', (node) => statementOf(node, { terms: { process: NOTHING } })],
    ['no term', (node) => statementOf(node, { terms: { term: 2 ** 60 } })],
    ['a toggle that is none', (node) => statementOf(node, { terms: { encryption: '' } })],
  ])('a statement of %s is refused, and fences nobody', async (_what, statement) => {
    const a = await member(0);
    const b = members.nodes[1] as TestNode;
    const client = clientOf(b, a);
    const call = prove(client);
    call.say({ statement: statement(b), proof: NOTHING });
    await expect(call.hear()).rejects.toThrow();
    client.close();
    expect([a.proved, a.refused]).toEqual([[], []]);
  });

  it('a statement of many empty strings is refused before it is looked into', async () => {
    const a = await member(0);
    const client = clientOf(members.nodes[1] as TestNode, a);
    const call = prove(client);
    call.say({ statement: emptyStrings(LIMITS.peerStatementBytesMax + 1), proof: NOTHING });
    await expect(call.hear()).rejects.toMatchObject({
      details: `statement has ${LIMITS.peerStatementBytesMax + 1} bytes, and ${LIMITS.peerStatementBytesMax} are the most`,
    });
    client.close();
    expect(a.transport.refused.get('notProved')).toBe(1);
  });

  it('a step that is longer than any is not even taken whole', async () => {
    const a = await member(0);
    const client = clientOf(members.nodes[1] as TestNode, a);
    const call = prove(client);
    call.say({ statement: emptyStrings(LIMITS.proofStepBytesMax), proof: NOTHING });
    await expect(call.hear()).rejects.toMatchObject({ code: status.RESOURCE_EXHAUSTED });
    client.close();
    await waitFor(() => a.transport.refused.get('notProved') === 1);
  });

  it.each([
    ['step', LIMITS.proofStepBytesMax],
    ['statement', LIMITS.peerStatementBytesMax],
  ])('who is dialled and says too much is not listened to: a %s', async (field, bytesMax) => {
    const a = await member(0);
    const dialled = members.nodes[2] as TestNode;
    const answer = (call: ServerDuplexStream<Buffer, ProofStep>): Promise<null> => {
      call.write({ statement: emptyStrings(bytesMax + 1), proof: NOTHING });
      return untilOver(call);
    };
    const listening = await GrpcPeerTransport.listen({
      ...(await listenOptions(dialled)),
      trust: {
        prove: () => Promise.resolve(() => true),
        gateFor: () => ({ ...QUIET_GATE, isOpen: true, answer }),
      },
    });
    members.add({ ...a, transport: listening, node: dialled });
    const asked = a.transport.ask(dialled.nodeId, { method: 'renew', request: {} });
    await expect(asked).rejects.toMatchObject({ code: 'TOO_LARGE', field });
    expect([a.refused, a.proved]).toEqual([[], []]);
  });

  it('a conversation with somebody else cannot be replayed or relayed', async () => {
    const [a, b] = [await member(0), await member(1)];
    const relaying = members.nodes[2] as TestNode;
    // It is dialled by b as the node that it is, and passes on to a what b says, with the stolen key of b.
    const towards = clientOf(b.node, a);
    const onward = prove(towards);
    const heard: string[] = [];
    const listening = await GrpcPeerTransport.listen({
      ...(await listenOptions(relaying)),
      trust: {
        prove: () => Promise.resolve(() => true),
        gateFor: () => ({
          ...QUIET_GATE,
          isOpen: true,
          answer: (call: ServerDuplexStream<Buffer, ProofStep>) => {
            call.on('data', (step: Buffer) => {
              onward.say(proofStepCodec.decode(step));
              onward.hear().then(
                (answer) => void call.write(answer),
                (error: Error) => void heard.push(error.message),
              );
            });
            return untilOver(call);
          },
        }),
      },
    });
    members.add({ ...a, transport: listening, node: relaying });
    b.transport.setPeers([relaying.nodeId]);
    await waitFor(() => heard.length > 0);
    // What b proves holds for the certificate that b was shown, which is not that of a.
    expect(heard.join()).toContain('did not prove');
    expect(a.proved).toEqual([]);
    expect(connected(b)).toBe(false);
    towards.close();
  });

  it.each([
    ['of nothing', NOTHING],
    ['of another key', Buffer.alloc(32, 7)],
  ])('who is dialled and proves it by a proof %s is told nothing more', async (_what, proof) => {
    const a = await member(0);
    const dialled = members.nodes[2] as TestNode;
    let steps = 0;
    const listening = await GrpcPeerTransport.listen({
      ...(await listenOptions(dialled)),
      trust: {
        prove: () => Promise.resolve(() => true),
        gateFor: () => ({
          ...QUIET_GATE,
          isOpen: true,
          answer: (call: ServerDuplexStream<Buffer, ProofStep>) => {
            call.on('data', () => {
              steps += 1;
              call.write({
                statement: steps === 1 ? statementOf(dialled) : NOTHING,
                proof: steps === 1 ? NOTHING : proof,
              });
            });
            return untilOver(call);
          },
        }),
      },
    });
    members.add({ ...a, transport: listening, node: dialled });
    a.transport.setPeers([dialled.nodeId]);
    await waitFor(() => a.refused.length > 0);
    expect(a.refused[0]).toMatchObject({
      code: 'CONTROL_KEY_MISMATCH',
      message: expect.stringContaining('did not prove') as string,
    });
    expect([connected(a), a.proved]).toEqual([false, []]);
  });

  async function listenOptions({ nodeId, material }: TestNode) {
    return Promise.resolve({
      nodeId,
      store: STORE,
      host: '127.0.0.1',
      port: 0,
      credentials: {
        certificate: material.cert,
        privateKey: material.key,
        authorityCertificate: material.ca,
      },
      identify: (certificate: Buffer) => nodeIdentity(certificate, members.cluster.context),
      isMember: () => true,
      methods: NO_METHODS,
      peerAddress: () => null,
      strangerServiceFor: () => testJoin,
      random,
      logger: silentLogger,
    });
  }
});

/** A statement with so many bytes, of fingerprints that are none. */
function emptyStrings(bytes: number): Buffer {
  const tag = Buffer.from([(8 << 3) | 2, 0]);
  return Buffer.alloc(bytes, tag);
}

function untilOver(call: ServerDuplexStream<Buffer, ProofStep>): Promise<null> {
  return new Promise((resolve) => call.once('close', () => resolve(null)));
}

function conversation(said: { own: Buffer; their: Uint8Array }, between: { a: Member; b: TestNode }) {
  return {
    purpose: 'peer',
    callerSaid: said.own,
    answererSaid: said.their,
    caller: between.b.certificate,
    answerer: between.a.node.certificate,
  } as const;
}
