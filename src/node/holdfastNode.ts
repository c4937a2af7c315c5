import { Sessions } from '../access/session.ts';
import { ApiServer } from '../api/apiServer.ts';
import type { Identity } from '../api/caller.ts';
import { webhookDelivery } from '../audit/alerts/webhook.ts';
import { systemClock } from '../base/clock.ts';
import { type HoldfastError, toHoldfastError } from '../base/errors.ts';
import type { Term } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import type { Logger } from '../base/logger.ts';
import { systemRandom } from '../base/random.ts';
import { systemScheduler } from '../base/scheduler.ts';
import { RaftLog } from '../replication/raftLog/raftLog.ts';
import type { GrpcPeerTransport } from '../replication/transport/grpcPeerTransport.ts';
import { DiskWal } from '../replication/wal/diskWal.ts';
import type { WalContents } from '../replication/wal/types.ts';
import type { Store } from '../store/store.ts';
import { type CertificateIdentity, certificateIdentity } from '../trust/identity.ts';
import { requireTls13, serverCredentials } from '../trust/tls.ts';
import { NodeAccessPort } from './accessPort.ts';
import { AdminReset } from './adminReset.ts';
import { Alerts } from './alerts.ts';
import { AuditedReads } from './auditedReads.ts';
import { NodeAuditPort } from './auditPort.ts';
import type { AuditSink } from './auditSink.ts';
import { Authorisation } from './authorisation.ts';
import { Certification } from './certification.ts';
import { NodeClusterPort } from './clusterPort.ts';
import type { NodeConfiguration } from './configuration.ts';
import { NodeCore } from './core.ts';
import { createAuditSink } from './createAuditSink.ts';
import { divergedStates } from './divergedStates.ts';
import { Housekeeping } from './housekeeping.ts';
import { KeyChange, type KeyChangeParts } from './keyChange/keyChange.ts';
import { NodeKvPort } from './kvPort.ts';
import { type OpenedNode, openNode } from './openNode.ts';
import { openState } from './openState.ts';
import { Passwords } from './passwords.ts';
import { listenForPeers } from './peerPort.ts';
import { ScanTurns } from './scanTurns.ts';
import { Scrubber } from './scrubber.ts';
import { loadSeedMembers } from './seedMembers.ts';
import { formatAddress } from './settings.ts';
import { snapshotMetadata } from './snapshotMetadata.ts';
import { stopForState } from './stopForState.ts';
import { isTakenOut, TAKEN_OUT_WARNING } from './takenOut.ts';
import { NodeUserPort } from './userPort.ts';

export interface NodeOptions {
  readonly logger: Logger;
  readonly version: string;
  /** Of the certificates that it signs. Default: LIMITS.certificateLifetimeMs. */
  readonly certificateLifetimeMs?: number;
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
  const { certificateLifetimeMs: lifetimeMs = LIMITS.certificateLifetimeMs } = options;
  const certification = new Certification({ ...assembly, store, core, lifetimeMs, logger });
  const keyChange = createKeyChange({ ...assembly, store, core }, (to, request) =>
    transport.ask(to, { method: 'prepareKey', request }),
  );
  const { log, transport } = await openLog({ ...assembly, store, core, certification, keyChange }, disk);
  onStop(() => log.close());
  keyChange.start();
  onStop(() => keyChange.stop());
  onStop(() => certification.stop());
  onStop(() => core.stopRequests());
  const alerts = createAlerts({ ...assembly, store, core });
  const housekeeping = new Housekeeping({
    core,
    store,
    clock: systemClock,
    alerts,
    announce: (announcement) =>
      transport.announce({ ...announcement, ...certification.change.announcement() }),
  });
  onStop(() => housekeeping.stop());
  const scrubber = startScrubber({ ...assembly, store, core, disk });
  const diverged = await divergedStates(directory.root);
  for (const warning of diverged()) logger.warn({}, warning);
  const reports = { scrubber, alerts, diverged, auditSink: startAuditSink({ ...assembly, store }) };
  const api = createApi({ ...assembly, ...reports, store, core, keyChange, certification });
  const apiPort = await api.listen(assembly.configuration.listenApi);
  onStop(() => api.stop({ graceMs: API_STOP_GRACE_MS }));
  certification.start(transport, () => api.forgetIdentities());
  startAdminReset({ ...assembly, store, core });
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

interface Served extends Parts {
  readonly certification: Certification;
  readonly keyChange: KeyChange;
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
  parts: Served,
  disk: OpenedWal,
): Promise<{ readonly log: RaftLog; readonly transport: GrpcPeerTransport }> {
  const { options, opened, store, core } = parts;
  const durableTerm = (): Term =>
    core.connected ? core.log().status().durableTerm : disk.contents.hardState.term;
  const transport = await listenForPeers({ ...parts, durableTerm, logger: options.logger });
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

function createKeyChange({ opened, store, core, options }: Parts, ask: KeyChangeParts['ask']): KeyChange {
  const { logger } = options;
  const clock = systemClock;
  const parts = { opened, store, core, ask, clock, logger };
  const keyChange = new KeyChange({ ...parts, random: systemRandom, scheduler: systemScheduler });
  core.keyChange = keyChange;
  return keyChange;
}

function createAlerts({ opened, options, store, core }: Parts): Alerts {
  const { nodeId, clusterId } = opened.identity;
  const { submit, leadership } = core;
  const { logger } = options;
  const [clock, scheduler] = [systemClock, systemScheduler];
  const delivery = webhookDelivery({ clusterId, clock });
  return new Alerts({ nodeId, store, submit, leadership, delivery, clock, scheduler, logger });
}

function startAdminReset({ opened, core, options, onStop }: Parts): void {
  const { directory, sealer, identity } = opened;
  const reset = new AdminReset({
    directory,
    sealer,
    submit: core.submit,
    nodeId: identity.nodeId,
    clock: systemClock,
    scheduler: systemScheduler,
    logger: options.logger,
  });
  reset.start();
  onStop(() => reset.stop());
}

function startAuditSink(parts: Omit<Parts, 'core'>): AuditSink | null {
  const { configuration, opened, options, store, onStop } = parts;
  const { identity, directory } = opened;
  const sink = createAuditSink({ configuration, identity, directory, store, logger: options.logger });
  sink?.start();
  onStop(() => sink?.stop());
  return sink;
}

interface ScrubberSources extends Parts {
  readonly disk: OpenedWal;
}

function startScrubber({ configuration, options, store, core, disk, onStop }: ScrubberSources): Scrubber {
  const scrubber = new Scrubber({
    scrubState: (pace) => store.scrub(pace),
    verifyLog: (pace) => disk.wal.verify(pace),
    isBusy: () => core.submit.waitingCount > 0 || store.unflushedBytes > LIMITS.stateGatherBytes,
    intervalMs: configuration.scrubIntervalMs,
    clock: systemClock,
    scheduler: systemScheduler,
    logger: options.logger,
    onFatal: options.onFatal,
  });
  scrubber.start();
  onStop(() => scrubber.stop());
  return scrubber;
}

interface ApiParts extends Served {
  readonly scrubber: Scrubber;
  readonly auditSink: AuditSink | null;
  readonly alerts: Alerts;
  readonly diverged: () => readonly string[];
}

function createApi(parts: ApiParts): ApiServer {
  const { options, opened, store, core, keyChange, certification, scrubber, auditSink, diverged } = parts;
  const { identity, sealer, keyring, warnings } = opened;
  const sessions = createSessions(opened);
  const { read, denials, tokenUses } = core;
  const nowMs = (): number => core.logClock.nowMs();
  const authorisation = new Authorisation({ store, nowMs, read, sessions, denials, tokenUses });
  return new ApiServer({
    kv: new NodeKvPort({
      store,
      submit: core.submit,
      read: core.read,
      authorisation,
      auditedReads: new AuditedReads({ submit: core.submit }),
      scans: new ScanTurns({ clock: systemClock, scheduler: systemScheduler }),
      refusal: () => core.guard.refusal,
    }),
    cluster: new NodeClusterPort({
      identity,
      store,
      core,
      authorisation,
      sealer,
      keyChange,
      controlKeyFingerprint: () => keyring.controlKey.fingerprint,
      jwtSecretFingerprint: () => keyring.keyring.jwtSecretFingerprint,
      clock: systemClock,
      random: systemRandom,
      version: options.version,
      warnings,
      certification,
      divergedStates: diverged,
      scrubber,
      auditSink,
      alerts: parts.alerts,
    }),
    access: new NodeAccessPort({
      store,
      submit: core.submit,
      authorisation,
      random: systemRandom,
      users: createUserPort({ store, core, sessions, authorisation }),
      denials,
    }),
    audit: new NodeAuditPort({ nodeId: identity.nodeId, store, submit: core.submit, authorisation }),
    identify: (der) => clientOrNobody(certificateIdentity(der, certification.identityContext)),
    credentials: serverCredentials(certification.apiMaterial, { clientWithoutCertificate: 'accepted' }),
    clock: systemClock,
  });
}

/** Signed by a subkey of the JWT secret in force, so that a change of it ends them all. */
function createSessions({ identity, keys, keyring }: OpenedNode): Sessions {
  return new Sessions({
    clusterId: identity.clusterId,
    key: () => keys.jwt.find(keyring.keyring.jwtSecretFingerprint)?.subkey('session') ?? null,
    clock: systemClock,
    random: systemRandom,
  });
}

interface UserPortSources extends Pick<Parts, 'store' | 'core'> {
  readonly sessions: Sessions;
  readonly authorisation: Authorisation;
}

function createUserPort({ store, core, sessions, authorisation }: UserPortSources): NodeUserPort {
  const { read, submit, denials } = core;
  const passwords = new Passwords({ store, read, clock: systemClock, random: systemRandom });
  return new NodeUserPort({ store, submit, authorisation, sessions, passwords, denials });
}

function clientOrNobody(identity: CertificateIdentity): Identity {
  if (identity.kind === 'client') return identity;
  return { kind: 'nobody', reason: 'a node has no rights on the API' };
}
