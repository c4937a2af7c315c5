import { ManualClock, systemClock } from '../../src/base/clock.ts';
import type { HoldfastError } from '../../src/base/errors.ts';
import type { NodeId } from '../../src/base/ids.ts';
import { silentLogger } from '../../src/base/logger.ts';
import { GrpcPeerTransport } from '../../src/replication/transport/grpcPeerTransport.ts';
import type { PeerMethods } from '../../src/replication/transport/types.ts';
import { nodeIdentity } from '../../src/trust/identity.ts';
import { NodeProcesses } from '../../src/trust/nodeProcesses.ts';
import { PeerProof } from '../../src/trust/peerProof.ts';
import { type PeerTerms, provableFingerprints } from '../../src/trust/peerTerms.ts';
import { requireTls13 } from '../../src/trust/tls.ts';
import { NO_METHODS, RecordingReceiver, testJoin } from '../replication/transport/testPeers.ts';
import { newCluster, newNode, random, type TestCluster, type TestNode } from './cluster.ts';
import { controlKeyOf, JWT_SECRET_FINGERPRINT } from './fakeJoinPort.ts';

export const STORE = { clusterId: 'aaaaaaaaaaaaaaaa', storeId: 'bbbbbbbbbbbbbbbb', format: 1 };

/** Keys by the byte that they consist of. */
export interface Holds {
  readonly keys?: readonly number[];
  /** Those that its keyring knows as replaced. */
  readonly replaced?: readonly number[];
  readonly terms?: Partial<PeerTerms>;
}

export interface Member {
  readonly node: TestNode;
  readonly transport: GrpcPeerTransport;
  readonly receiver: RecordingReceiver;
  readonly processes: NodeProcesses;
  readonly proved: NodeId[];
  readonly refused: HoldfastError[];
  holds: Holds;
}

export function termsOf({ nodeId }: TestNode, { keys = [1], replaced = [], terms = {} }: Holds): PeerTerms {
  return {
    format: 1,
    clusterId: STORE.clusterId,
    storeId: STORE.storeId,
    nodeId,
    keyringGeneration: 1,
    controlKeyFingerprint: controlKeyOf(keys[0] ?? 1).fingerprint,
    controlKeyFingerprints: provableFingerprints({
      held: keys.map(controlKeyOf),
      replaced: replaced.map((byte) => controlKeyOf(byte).fingerprint),
    }),
    encryption: 'on',
    jwtSecretFingerprint: JWT_SECRET_FINGERPRINT,
    jwtSecretFingerprints: [JWT_SECRET_FINGERPRINT],
    starts: 4,
    process: Buffer.alloc(16, nodeId),
    term: 1,
    ...terms,
  };
}

/** Three nodes of one CA, which run as members and prove to each other what they hold. */
export class ProvingMembers {
  readonly cluster: TestCluster;
  readonly nodes: readonly TestNode[];
  /** By which processes count as silent; stands still. */
  readonly clock = new ManualClock();
  #running: Member[] = [];

  private constructor(cluster: TestCluster, nodes: readonly TestNode[]) {
    this.cluster = cluster;
    this.nodes = nodes;
  }

  static async create(): Promise<ProvingMembers> {
    requireTls13();
    const cluster = await newCluster();
    return new ProvingMembers(cluster, [
      await newNode(cluster),
      await newNode(cluster),
      await newNode(cluster),
    ]);
  }

  async start(index: number, holds: Holds = {}, methods: PeerMethods = NO_METHODS): Promise<Member> {
    const node = this.nodes[index] as TestNode;
    const proved: NodeId[] = [];
    const refused: HoldfastError[] = [];
    const processes = new NodeProcesses({ clock: this.clock });
    const one = { node, proved, refused, receiver: new RecordingReceiver(), processes, holds };
    const { material } = node;
    const transport = await GrpcPeerTransport.listen({
      nodeId: node.nodeId,
      store: STORE,
      host: '127.0.0.1',
      port: 0,
      credentials: {
        certificate: material.cert,
        privateKey: material.key,
        authorityCertificate: material.ca,
      },
      identify: (certificate) => nodeIdentity(certificate, this.cluster.context),
      trust: new PeerProof({
        terms: () => termsOf(node, made.holds),
        controlKeys: () => (made.holds.keys ?? [1]).map(controlKeyOf),
        processes,
        onProved: (peerId) => proved.push(peerId),
        onRefused: (_peerId, error) => refused.push(error),
        clock: systemClock,
        random,
      }),
      isMember: () => true,
      methods,
      peerAddress: (peerId) => this.#addressOf(peerId),
      strangerServiceFor: () => testJoin,
      random,
      logger: silentLogger,
    });
    const made: Member = { ...one, transport };
    transport.start(one.receiver);
    this.#running.push(made);
    return made;
  }

  #addressOf(peerId: NodeId): string | null {
    const found = this.#running.find(({ node }) => node.nodeId === peerId);
    return found === undefined ? null : `127.0.0.1:${found.transport.port}`;
  }

  /** One that was started elsewhere is dialled and stopped as the others are. */
  add(member: Member): void {
    this.#running.push(member);
  }

  async stopAll(): Promise<void> {
    await Promise.all(this.#running.map(({ transport }) => transport.close()));
    this.#running = [];
  }
}

export const connected = (from: Member): boolean => from.transport.peers().every((peer) => peer.connected);
