import type { ServerDuplexStream } from '@grpc/grpc-js';
import type { Clock } from '../../../src/base/clock.ts';
import { systemClock } from '../../../src/base/clock.ts';
import type { NodeId } from '../../../src/base/ids.ts';
import { type Logger, silentLogger } from '../../../src/base/logger.ts';
import { type RandomSource, systemRandom } from '../../../src/base/random.ts';
import {
  type Announcement,
  type ClusterStep,
  type JoinerStep,
  joinService,
} from '../../../src/proto/peer.ts';
import type { Message } from '../../../src/replication/raft/types.ts';
import type { StateSnapshot } from '../../../src/replication/replicatedLog.ts';
import { GrpcPeerTransport } from '../../../src/replication/transport/grpcPeerTransport.ts';
import type { GrpcService } from '../../../src/replication/transport/peerServer.ts';
import type {
  IdentifyNode,
  PeerCredentials,
  PeerGate,
  PeerMethods,
  PeerReceiver,
  PeerTrust,
  RefusedMessage,
} from '../../../src/replication/transport/types.ts';
import { identifyNode, type TestAuthority } from './certificates.ts';

export const STORE = { clusterId: 'aaaaaaaaaaaaaaaa', storeId: 'bbbbbbbbbbbbbbbb', format: 1 };

const NOTHING = Buffer.alloc(0);

/** A Join that says that it was reached. */
export const testJoin: GrpcService = {
  definition: joinService as unknown as GrpcService['definition'],
  handlers: {
    join: (call: ServerDuplexStream<JoinerStep, ClusterStep>) => {
      call.write({ challenge: Buffer.from('reached'), response: NOTHING, proof: NOTHING });
      call.end();
    },
  },
};

/** Keeps what was delivered. */
export class RecordingReceiver implements PeerReceiver {
  readonly received: Message[] = [];
  readonly forwards: { from: NodeId; sequence: number; bytes: number }[] = [];
  readonly refusals: { from: NodeId; sequence: number }[] = [];
  readonly clocks = new Map<NodeId, number>();
  snapshot: () => Promise<StateSnapshot> = () => Promise.reject(new Error('no snapshot'));

  refuse: (message: Message) => readonly RefusedMessage[] = () => [];

  messages(messages: readonly Message[]): readonly RefusedMessage[] {
    this.received.push(...messages);
    return messages.flatMap(this.refuse);
  }

  forwarded(forward: { from: NodeId; sequence: number; envelope: Uint8Array }): void {
    this.forwards.push({
      from: forward.from,
      sequence: forward.sequence,
      bytes: forward.envelope.length,
    });
  }

  forwardRefused(refusal: { from: NodeId; sequence: number }): void {
    this.refusals.push(refusal);
  }

  clockHeard({ nodeId, aheadMs }: { nodeId: NodeId; aheadMs: number }): void {
    this.clocks.set(nodeId, aheadMs);
  }

  openSnapshot(): Promise<StateSnapshot> {
    return this.snapshot();
  }
}

/** Where nothing is asked beside the log. */
export const NO_METHODS: PeerMethods = {
  prepareKey: () => Promise.reject(new Error('not asked here')),
  renew: () => Promise.reject(new Error('not asked here')),
};

/** Says nothing, and proves nothing. */
export const endProof: PeerGate['answer'] = (call) => {
  call.end();
  return Promise.resolve(null);
};

/** Keeps no account of what comes through it. */
export const QUIET_GATE = { spoke: () => undefined, closed: () => undefined };

/** Believes everybody who has a certificate, unasked: what is tested is what lies behind the proof. */
export const TRUSTING: PeerTrust = {
  prove: () => Promise.resolve(() => true),
  gateFor: () => ({ ...QUIET_GATE, isOpen: true, answer: endProof }),
};

/** Addresses and members that a group of transports shares. */
export class TestDirectory {
  readonly addresses = new Map<NodeId, string>();
  readonly removed = new Set<NodeId>();
  readonly announcements: {
    readonly to: NodeId;
    readonly nodeId: NodeId;
    readonly announcement: Announcement;
  }[] = [];
  readonly heardAddresses: { readonly nodeId: NodeId; readonly address: string }[] = [];
  readonly transports: GrpcPeerTransport[] = [];
  readonly authority: TestAuthority;

  constructor(authority: TestAuthority) {
    this.authority = authority;
  }

  async listen(
    nodeId: NodeId,
    options: {
      credentials?: PeerCredentials;
      clock?: Clock;
      store?: typeof STORE;
      logger?: Logger;
      firstWordMs?: number;
      snapshotDeadlineMs?: number;
      random?: RandomSource;
      trust?: PeerTrust;
      methods?: PeerMethods;
      identify?: IdentifyNode;
    } = {},
  ): Promise<GrpcPeerTransport> {
    const transport = await GrpcPeerTransport.listen({
      nodeId,
      store: options.store ?? STORE,
      host: '127.0.0.1',
      port: 0,
      credentials: options.credentials ?? (await this.authority.issueNode(nodeId)),
      identify: options.identify ?? identifyNode,
      trust: options.trust ?? TRUSTING,
      methods: options.methods ?? NO_METHODS,
      isMember: (peerId) => !this.removed.has(peerId),
      peerAddress: (peerId) => this.addresses.get(peerId) ?? null,
      strangerServiceFor: () => testJoin,
      onAddress: (heard) => this.heardAddresses.push(heard),
      onAnnouncement: (heard) => this.announcements.push({ to: nodeId, ...heard }),
      clock: options.clock ?? systemClock,
      random: options.random ?? systemRandom,
      logger: options.logger ?? silentLogger,
      ...(options.snapshotDeadlineMs === undefined ? {} : { snapshotDeadlineMs: options.snapshotDeadlineMs }),
      ...(options.firstWordMs === undefined ? {} : { firstWordMs: options.firstWordMs }),
    });
    this.addresses.set(nodeId, `127.0.0.1:${transport.port}`);
    this.transports.push(transport);
    return transport;
  }

  async close(): Promise<void> {
    await Promise.all(this.transports.splice(0).map((transport) => transport.close()));
  }
}
