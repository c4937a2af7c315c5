import { systemClock } from '../base/clock.ts';
import { HoldfastError, toHoldfastError } from '../base/errors.ts';
import type { NodeId, Term } from '../base/ids.ts';
import type { Logger } from '../base/logger.ts';
import { systemRandom } from '../base/random.ts';
import type { PrepareKeyRequest, RenewRequest } from '../proto/peer.ts';
import { GrpcPeerTransport } from '../replication/transport/grpcPeerTransport.ts';
import type { PeerMethods } from '../replication/transport/types.ts';
import type { Store } from '../store/store.ts';
import { nodeIdentity } from '../trust/identity.ts';
import { JoinService } from '../trust/joinService.ts';
import { PeerProof } from '../trust/peerProof.ts';
import { PEER_FORMAT, provableFingerprints } from '../trust/peerTerms.ts';
import { toRefusalStatus } from '../trust/refusalStatus.ts';
import type { Certification } from './certification.ts';
import type { NodeConfiguration } from './configuration.ts';
import type { NodeCore } from './core.ts';
import { DATA_FORMAT } from './format.ts';
import { createJoinPort } from './joinPort.ts';
import type { KeyChange } from './keyChange/keyChange.ts';
import type { OpenedNode } from './openNode.ts';
import { formatAddress } from './settings.ts';

export interface PeerPortParts {
  readonly configuration: NodeConfiguration;
  readonly opened: OpenedNode;
  readonly store: Store;
  readonly core: NodeCore;
  readonly certification: Certification;
  readonly keyChange: KeyChange;
  /** The term that lies on this node's disk. */
  readonly durableTerm: () => Term;
  readonly logger: Logger;
}

/** The peer port, which listens from now on. @throws HoldfastError PORT_IN_USE, UNAVAILABLE */
export function listenForPeers(parts: PeerPortParts): Promise<GrpcPeerTransport> {
  const { configuration, opened, store, core, certification, keyChange, logger } = parts;
  const { identity, keyring } = opened;
  const { clusterId, storeId, nodeId } = identity;
  const joinPort = createJoinPort({
    identity,
    store,
    submit: core.submit,
    read: core.read,
    membership: core.membership,
    leadership: core.leadership,
    stampMs: () => core.logClock.stampMs(),
    storedKeyring: () => keyring.stored(),
    terms: () => ({
      controlKeyFingerprint: keyring.controlKey.fingerprint,
      jwtSecretFingerprint: keyring.keyring.jwtSecretFingerprint,
      encryption: keyring.keyring.encryption,
    }),
    controlKey: () => keyring.controlKey,
    issuer: certification.issuer,
    clock: systemClock,
  });
  const joins = new JoinService({
    port: joinPort,
    record: (event) => core.trustLog.record(event),
    random: systemRandom,
  });
  return GrpcPeerTransport.listen({
    nodeId,
    store: { clusterId, storeId, format: DATA_FORMAT },
    ...configuration.listenPeer,
    credentials: certification.peerCredentials,
    identify: (certificate) => nodeOrNobody(() => nodeIdentity(certificate, certification.identityContext)),
    trust: createPeerProof(parts),
    methods: {
      prepareKey: answering(({ peerId }, request) =>
        Promise.resolve(keyChange.keeper.prepare(peerId, request as PrepareKeyRequest)),
      ),
      renew: (connection, request) => certification.renewals.answer(connection, request as RenewRequest),
    },
    isMember: (peerId) => core.mayConnect(peerId),
    ownAddress: formatAddress(configuration.advertisePeer),
    onAddress: (heard) => core.addressHeard(heard),
    onAnnouncement: (heard) => {
      core.announcementHeard(heard);
      certification.change.heard(heard);
    },
    peerAddress: (peerId) => core.peerAddress(peerId),
    strangerServiceFor: (connection) => joins.serviceFor(connection),
    clock: systemClock,
    random: systemRandom,
    logger,
  });
}

/** What members prove to each other is asked anew for each connection: a keyring may have come with the log. */
function createPeerProof({ opened, core, durableTerm }: PeerPortParts): PeerProof {
  const { identity, keyring, keys, process } = opened;
  const { fencing, processes } = core;
  const { clusterId, storeId, nodeId } = identity;
  return new PeerProof({
    terms: () => ({
      format: PEER_FORMAT,
      clusterId,
      storeId,
      nodeId,
      keyringGeneration: keyring.keyring.generation,
      controlKeyFingerprint: keyring.controlKey.fingerprint,
      controlKeyFingerprints: provableFingerprints({
        held: keys.control.all,
        replaced: keyring.keyring.replacedControlKeys,
      }),
      encryption: keyring.keyring.encryption,
      jwtSecretFingerprint: keyring.keyring.jwtSecretFingerprint,
      jwtSecretFingerprints: keys.jwt.all.map(({ fingerprint }) => fingerprint),
      ...process,
      term: durableTerm(),
    }),
    processes,
    controlKeys: () => keys.control.all,
    onProved: (peerId) => fencing.proved(peerId),
    onRefused: (peerId, error) => fencing.refused(peerId, error),
    clock: systemClock,
    random: systemRandom,
  });
}

/** A method that other members call: its refusals become statuses of gRPC. */
function answering(answer: PeerMethods['prepareKey']): PeerMethods['prepareKey'] {
  return async (connection, request) => {
    try {
      return await answer(connection, request);
    } catch (thrown) {
      throw toRefusalStatus(toHoldfastError(thrown), null) as Error;
    }
  };
}

/** A certificate that is not a member node's makes its holder a stranger, whatever the reason. */
function nodeOrNobody(identify: () => NodeId): NodeId | null {
  try {
    return identify();
  } catch (thrown) {
    if (thrown instanceof HoldfastError) return null;
    throw thrown;
  }
}
