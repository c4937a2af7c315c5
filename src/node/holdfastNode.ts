import { ApiServer } from '../api/apiServer.ts';
import type { Identity } from '../api/caller.ts';
import { systemClock } from '../base/clock.ts';
import { HoldfastError, toHoldfastError } from '../base/errors.ts';
import type { NodeId } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import type { Logger } from '../base/logger.ts';
import { systemRandom } from '../base/random.ts';
import { systemScheduler } from '../base/scheduler.ts';
import { RaftLog } from '../replication/raftLog/raftLog.ts';
import { GrpcPeerTransport } from '../replication/transport/grpcPeerTransport.ts';
import { DiskWal } from '../replication/wal/diskWal.ts';
import type { WalContents } from '../replication/wal/types.ts';
import type { Store } from '../store/store.ts';
import { type CertificateIdentity, certificateIdentity, nodeIdentity } from '../trust/identity.ts';
import { joinServiceFor } from '../trust/joinService.ts';
import { requireTls13, serverCredentials, TlsMaterialHolder, tlsMaterial } from '../trust/tls.ts';
import { NodeClusterPort } from './clusterPort.ts';
import type { NodeConfiguration } from './configuration.ts';
import { NodeCore } from './core.ts';
import { divergedStates } from './divergedStates.ts';
import { DATA_FORMAT } from './format.ts';
import { Housekeeping } from './housekeeping.ts';
import { createJoinPort } from './joinPort.ts';
import { NodeKvPort } from './kvPort.ts';
import { type OpenedNode, openNode } from './openNode.ts';
import { openState } from './openState.ts';
import { Scrubber } from './scrubber.ts';
import { loadSeedMembers } from './seedMembers.ts';
import { formatAddress } from './settings.ts';
import { snapshotMetadata } from './snapshotMetadata.ts';
import { stopForState } from './stopForState.ts';
import { isTakenOut, TAKEN_OUT_WARNING } from './takenOut.ts';

export interface NodeOptions {
  readonly logger: Logger;
  readonly version: string;
  /** The node must stop at once: acknowledging anything more could be a lie. */
  readonly onFatal: (error: HoldfastError) => void;
}

const API_STOP_GRACE_MS = 2_000;

/** One running node: every part of the house, wired together. */
export class HoldfastNode {
  readonly apiAddress: string;
  readonly peerAddress: string;
  readonly #stopSteps: readonly (() => Promise<void> | void)[];

  private constructor(
    addresses: { api: string; peer: string },
    stopSteps: readonly (() => Promise<void> | void)[],
  ) {
    this.apiAddress = addresses.api;
    this.peerAddress = addresses.peer;
    this.#stopSteps = stopSteps;
  }

  /**
   * Starts a node that init or join made; resolves when clients and nodes can connect.
   * @throws HoldfastError with what to do; nothing is left running or locked then
   */
  static async start(configuration: NodeConfiguration, options: NodeOptions): Promise<HoldfastNode> {
    requireTls13();
    const opened = await openNode(configuration, options.logger);
    const stopSteps: (() => Promise<void> | void)[] = [() => opened.lock.release()];
    try {
      const addresses = await assemble({
        configuration,
        options,
        opened,
        onStop: (step) => stopSteps.unshift(step),
      });
      return new HoldfastNode(addresses, stopSteps);
    } catch (thrown) {
      // What failed first is what the operator has to hear of.
      await runAll(stopSteps).catch(() => undefined);
      throw thrown;
    }
  }

  /** Stops taking requests, lets those in flight finish, and closes everything in the order of its use. */
  async stop(): Promise<void> {
    await runAll(this.#stopSteps);
  }
}

/** Each step in turn, whatever becomes of those before it. @throws what the first failed step threw */
async function runAll(steps: readonly (() => Promise<void> | void)[]): Promise<void> {
  const failures: unknown[] = [];
  for (const step of steps) {
    try {
      await step();
    } catch (thrown) {
      failures.push(thrown);
    }
  }
  if (failures.length > 0) throw toHoldfastError(failures[0]);
}

interface Assembly {
  readonly configuration: NodeConfiguration;
  readonly options: NodeOptions;
  readonly opened: OpenedNode;
  readonly onStop: (step: () => Promise<void> | void) => void;
}

async function assemble(assembly: Assembly): Promise<{ api: string; peer: string }> {
  const { opened, options, onStop } = assembly;
  const { logger } = options;
  const { sealer, directory } = opened;
  const disk = await openWal(assembly);
  let core: NodeCore | null = null;
  const store = await openState({
    nodeId: opened.identity.nodeId,
    log: disk.contents,
    logger,
    store: {
      directory: directory.root,
      sealer,
      onFatal: (error) => stopForState(error, { root: directory.root, ...options }),
      onDurable: () => {
        if (core?.connected) core.log().durable(snapshotMetadata(store.durableHead));
      },
    },
  });
  onStop(() => store.close());
  if (isTakenOut(store, opened.identity.nodeId)) logger.warn({}, TAKEN_OUT_WARNING);
  const seeds = loadSeedMembers(directory, sealer);
  core = new NodeCore({
    opened,
    store,
    clock: systemClock,
    random: systemRandom,
    logger,
    seeds,
    onWrongState: (error) => stopForState(error, { root: directory.root, ...options }, 'diverged'),
    reserveBytes: assembly.configuration.diskReserveBytes,
  });
  const { log, transport } = await openLog({ ...assembly, store, core }, disk);
  onStop(() => log.close());
  const { submit, read, membership } = core;
  onStop(() => {
    submit.stop();
    read.stop();
    membership.stop();
  });
  const housekeeping = new Housekeeping({
    core,
    store,
    clock: systemClock,
    announce: (announcement) => transport.announce(announcement),
  });
  onStop(() => housekeeping.stop());
  const scrubber = createScrubber({ ...assembly, store, core, disk });
  scrubber.start();
  onStop(() => scrubber.stop());
  const diverged = await divergedStates(directory.root);
  for (const warning of diverged()) logger.warn({}, warning);
  const api = createApi({ ...assembly, store, core, scrubber, diverged });
  const apiPort = await api.listen(assembly.configuration.listenApi);
  onStop(() => api.stop({ graceMs: API_STOP_GRACE_MS }));
  const ready = (): void => api.setReady(true);
  if (store.missing === null) ready();
  else core.stateMachine.onInstalled = ready;
  return {
    api: formatAddress({ ...assembly.configuration.listenApi, port: apiPort }),
    peer: formatAddress(assembly.configuration.listenPeer),
  };
}

interface Parts extends Assembly {
  readonly store: Store;
  readonly core: NodeCore;
}

/** The log on disk, before the log that runs on it has taken it over. */
interface OpenedWal {
  readonly wal: DiskWal;
  readonly contents: WalContents;
  takenOver: boolean;
}

async function openWal({ opened, onStop }: Assembly): Promise<OpenedWal> {
  const { directory, identity } = opened;
  const disk = {
    ...(await DiskWal.open({ directory: directory.wal, storeId: identity.storeId })),
    takenOver: false,
  };
  onStop(() => (disk.takenOver ? undefined : disk.wal.close()));
  return disk;
}

async function openLog(
  parts: Parts,
  disk: OpenedWal,
): Promise<{ readonly log: RaftLog; readonly transport: GrpcPeerTransport }> {
  const { options, opened, store, core } = parts;
  const transport = await listenForPeers(parts);
  try {
    const log = await RaftLog.open({
      nodeId: opened.identity.nodeId,
      wal: disk.wal,
      walContents: disk.contents,
      applied: store.missing === null ? snapshotMetadata(store.durableHead) : null,
      stateMachine: core.stateMachine,
      transport,
      clock: systemClock,
      random: systemRandom,
      logger: options.logger,
      onFatal: options.onFatal,
    });
    disk.takenOver = true;
    core.connect(log);
    return { log, transport };
  } catch (thrown) {
    await transport.close().catch(() => undefined);
    throw thrown;
  }
}

function listenForPeers({ configuration, options, opened, store, core }: Parts): Promise<GrpcPeerTransport> {
  const { logger } = options;
  const { identity, credentials, keyring } = opened;
  const { clusterId, storeId, nodeId } = identity;
  const { authorityCertificate } = credentials;
  const context = { clusterId, authorityCertificate, clock: systemClock };
  const joinPort = createJoinPort({
    identity,
    authorityCertificate,
    store,
    submit: core.submit,
    read: core.read,
    membership: core.membership,
    leadership: core.leadership,
    storedKeyring: () => keyring.stored(),
    clock: systemClock,
    random: systemRandom,
  });
  const { ca, cert, key } = tlsMaterial(credentials);
  return GrpcPeerTransport.listen({
    nodeId,
    store: { clusterId, storeId, format: DATA_FORMAT },
    ...configuration.listenPeer,
    credentials: { certificate: cert, privateKey: key, authorityCertificate: ca },
    identify: (certificate) => nodeOrNobody(() => nodeIdentity(certificate, context)),
    isMember: (peerId) => core.mayConnect(peerId),
    ownAddress: formatAddress(configuration.advertisePeer),
    onAddress: (heard) => core.addressHeard(heard),
    onAnnouncement: (heard) => core.announcementHeard(heard),
    peerAddress: (peerId) => core.peerAddress(peerId),
    strangerService: joinServiceFor({ port: joinPort, logger, clock: systemClock }),
    clock: systemClock,
    random: systemRandom,
    logger,
  });
}

interface ScrubberSources extends Parts {
  readonly disk: OpenedWal;
}

function createScrubber({ configuration, options, store, core, disk }: ScrubberSources): Scrubber {
  return new Scrubber({
    scrubState: (pace) => store.scrub(pace),
    verifyLog: (pace) => disk.wal.verify(pace),
    isBusy: () => core.submit.waitingCount > 0 || store.unflushedBytes > LIMITS.stateGatherBytes,
    intervalMs: configuration.scrubIntervalMs,
    clock: systemClock,
    scheduler: systemScheduler,
    logger: options.logger,
    onFatal: options.onFatal,
  });
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

interface ApiParts extends Parts {
  readonly scrubber: Scrubber;
  readonly diverged: () => readonly string[];
}

function createApi({ options, opened, store, core, scrubber, diverged }: ApiParts): ApiServer {
  const { identity, credentials, sealer, keys, warnings } = opened;
  const context = {
    clusterId: identity.clusterId,
    authorityCertificate: credentials.authorityCertificate,
    clock: systemClock,
  };
  return new ApiServer({
    kv: new NodeKvPort({
      store,
      submit: core.submit,
      read: core.read,
      refusal: () => core.guard.refusal,
    }),
    cluster: new NodeClusterPort({
      identity,
      store,
      core,
      sealer,
      controlKeyFingerprint: keys.control.active.fingerprint,
      clock: systemClock,
      random: systemRandom,
      version: options.version,
      warnings,
      divergedStates: diverged,
      scrubber,
    }),
    identify: (der) => clientOrNobody(certificateIdentity(der, context)),
    credentials: serverCredentials(new TlsMaterialHolder(tlsMaterial(credentials)), {
      clientWithoutCertificate: 'refused',
    }),
    clock: systemClock,
  });
}

function clientOrNobody(identity: CertificateIdentity): Identity {
  if (identity.kind === 'client') return identity;
  return { kind: 'nobody', reason: 'a node has no rights on the API' };
}
