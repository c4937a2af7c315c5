import type { Clock } from '../../base/clock.ts';
import { toHoldfastError } from '../../base/errors.ts';
import type { NodeId } from '../../base/ids.ts';
import { LIMITS } from '../../base/limits.ts';
import type { Logger } from '../../base/logger.ts';
import type { RandomSource } from '../../base/random.ts';
import { RareLines } from '../../base/rareLines.ts';
import type { Scheduler, Timer } from '../../base/scheduler.ts';
import type { PrepareKeyRequest, PrepareKeyResponse } from '../../proto/peer.ts';
import type { KeyChangeRow, NoteKeyChange } from '../../proto/storage.ts';
import type { Place } from '../../replication/raft/types.ts';
import type { Store } from '../../store/store.ts';
import { resealNodeKey } from '../../trust/nodeCredentials.ts';
import { fromRefusalStatus, isServiceError } from '../../trust/refusalStatus.ts';
import type { NodeCore } from '../core.ts';
import type { OpenedNode } from '../openNode.ts';
import { outcomeFailure } from '../outcome.ts';
import { loadSeedMembers, saveSeedMembers } from '../seedMembers.ts';
import type { KeyChangeHooks } from '../stateMachine.ts';
import { KeyChangeDriver } from './keyChangeDriver.ts';
import { KeyFileCheck } from './keyFileCheck.ts';
import { KeyKeeper } from './keyKeeper.ts';
import { Rewriter } from './rewriter.ts';

export interface KeyChangeParts {
  readonly opened: OpenedNode;
  readonly store: Store;
  readonly core: NodeCore;
  /** @throws HoldfastError, ServiceError */
  readonly ask: (to: NodeId, request: PrepareKeyRequest) => Promise<PrepareKeyResponse>;
  readonly clock: Clock;
  readonly random: RandomSource;
  readonly scheduler: Scheduler;
  readonly logger: Logger;
}

/** All that a node does about changes of keys: takes part in them, and brings them on when it leads. */
export class KeyChange implements KeyChangeHooks {
  readonly keeper: KeyKeeper;
  readonly driver: KeyChangeDriver;
  readonly rewriter: Rewriter;
  readonly keyFiles: KeyFileCheck;
  readonly #parts: KeyChangeParts;
  readonly #lines: RareLines;
  #timers: readonly Timer[] = [];
  /** Where the log ended when this node started; until it has: beyond everything. */
  #lastAtStart = Number.POSITIVE_INFINITY;

  constructor(parts: KeyChangeParts) {
    this.#parts = parts;
    this.#lines = new RareLines(parts.clock);
    const { opened, store, core, clock, random, scheduler, logger } = parts;
    const { identity, keys, keyring, sealer, directory } = opened;
    const { nodeId } = identity;
    const change = (): KeyChangeRow | null => store.keyChange;
    const note = (noted: NoteKeyChange): Promise<void> => this.#note(noted);
    this.keeper = new KeyKeeper({
      nodeId,
      keys,
      keyring,
      change,
      durableIndex: () => store.durable.index,
      isReplayed: () => store.applied.index >= this.#lastAtStart,
      random,
    });
    this.driver = new KeyChangeDriver({
      nodeId,
      isLeader: () => core.leadership.isLeader,
      log: () => core.log(),
      change,
      configuration: () => store.configuration,
      nameOf: (id) => store.member(id)?.name ?? id,
      controlKeys: keys.control,
      keyring,
      keeper: this.keeper,
      ask: (to, request) => this.#ask(to, request),
      note,
      clock,
      random,
    });
    this.rewriter = new Rewriter({
      nodeId,
      root: directory.root,
      sealer,
      change,
      rewriteState: (pace) => store.rewrite(pace),
      compactState: (pace) => store.compactFiles(pace),
      rewriteFiles: () => this.#rewriteFiles(),
      forgetLog: () => core.log().forget(),
      isBusy: () => core.submit.waitingCount > 0 || core.read.waitingCount > 0,
      appliedIndex: () => store.applied.index,
      requireRoom: () => core.reserve.requireRoom(),
      note,
      clock,
      scheduler,
      logger,
    });
    this.keyFiles = new KeyFileCheck({
      keys: [
        { name: 'control key', held: keys.control, inForce: () => keyring.controlKey.fingerprint },
        { name: 'JWT secret', held: keys.jwt, inForce: () => keyring.keyring.jwtSecretFingerprint },
      ],
      clock,
      logger,
    });
  }

  get isDeciding(): boolean {
    return this.driver.isDeciding;
  }

  applied(place: Place): void {
    this.driver.applied(place);
  }

  leadershipChanged(): void {
    this.driver.leadershipChanged();
  }

  stateReplaced(): void {
    this.rewriter.stateReplaced();
  }

  start(): void {
    this.#lastAtStart = this.#parts.core.log().status().lastIndex;
    const { scheduler } = this.#parts;
    this.#timers = [
      scheduler.every(LIMITS.keyChangeStepMs, () => this.#look()),
      scheduler.every(LIMITS.keyFileCheckMs, () => this.keyFiles.look()),
    ];
  }

  async stop(): Promise<void> {
    for (const timer of this.#timers) timer.stop();
    await this.rewriter.stop();
  }

  #look(): void {
    void this.driver.step();
    this.rewriter.look();
    try {
      this.keeper.tidy();
    } catch (thrown) {
      const { code, message: reason, hint } = toHoldfastError(thrown);
      if (this.#lines.isDue(code))
        this.#parts.logger.warn({ code, reason, hint }, 'the key file was not brought in line');
    }
  }

  async #rewriteFiles(): Promise<void> {
    const { directory, sealer, credentials } = this.#parts.opened;
    await resealNodeKey({ dataDir: directory.root, sealer }, credentials.privateKey);
    const members = loadSeedMembers(directory, sealer);
    if (members.length > 0) await saveSeedMembers(directory, { sealer, members });
  }

  async #ask(to: NodeId, request: PrepareKeyRequest): Promise<PrepareKeyResponse> {
    try {
      return await this.#parts.ask(to, request);
    } catch (thrown) {
      throw isServiceError(thrown) ? fromRefusalStatus(thrown, 'it says').error : thrown;
    }
  }

  async #note(noteKeyChange: NoteKeyChange): Promise<void> {
    const { core, opened, clock } = this.#parts;
    const principal = { kind: 'node', name: opened.identity.nodeId, address: '' };
    const deadlineMs = clock.monotonicMs() + LIMITS.requestTimeoutMs;
    const failure = outcomeFailure(await core.submit.submit({ principal, noteKeyChange }, deadlineMs));
    if (failure !== null) throw failure;
  }
}
