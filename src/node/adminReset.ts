import { existsSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { hashPassword } from '../access/password.ts';
import type { Clock } from '../base/clock.ts';
import { syncDirectory, writeFileDurably } from '../base/durableFile.ts';
import { HoldfastError, toHoldfastError } from '../base/errors.ts';
import type { NodeId } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import type { Logger } from '../base/logger.ts';
import { newPassword, systemRandom } from '../base/random.ts';
import { RareLines } from '../base/rareLines.ts';
import { endedWithin, type Scheduler, type Timer } from '../base/scheduler.ts';
import type { SealedCodec } from '../envelope/codec.ts';
import type { EnvelopePlace } from '../envelope/place.ts';
import { Sealer } from '../envelope/sealer.ts';
import { type ResetAdmin, resetAdminCodec } from '../proto/users.ts';
import { lockDataDirectory } from '../replication/wal/directoryLock.ts';
import type { NodeConfiguration } from './configuration.ts';
import { type DataDirectory, dataDirectory } from './dataDirectory.ts';
import { KeyringFile } from './keyringFile.ts';
import { loadControl } from './keys.ts';
import { requireIdentity, requireNode } from './openNode.ts';
import { outcomeFailure } from './outcome.ts';
import type { Submit } from './submit.ts';

/** The user that a reset makes, or sets the password and the role of. */
export const ADMIN_USER = 'admin';
const PLACE: EnvelopePlace = { kind: 'file', name: 'admin-reset', generation: 0 };

/** Purpose `trust` is always encrypted, so the readable form is never used. */
const codec: SealedCodec<ResetAdmin> = {
  encode: resetAdminCodec.encode,
  decode: resetAdminCodec.decode,
  toJson: (value) => value,
  fromJson: (json) => json as ResetAdmin,
};

/** A reset of the administrator with a new password, which is nowhere else. */
export async function newAdminReset(): Promise<{ readonly password: string; readonly reset: ResetAdmin }> {
  const password = newPassword(systemRandom);
  const passwordHash = await hashPassword(Buffer.from(password), { random: systemRandom });
  return { password, reset: { id: systemRandom.bytes(8).toString('hex'), passwordHash } };
}

/**
 * Breaks the glass: leaves a request in the data directory of a node that is stopped, by the control key, which its next start
 * turns into a command. A second request takes the place of the first.
 * @returns the password, which is nowhere else
 * @throws HoldfastError DATA_DIR_INVALID while the node runs, KEY_FILE_INVALID, CONTROL_KEY_MISMATCH, …
 */
export async function requestAdminReset(
  configuration: NodeConfiguration,
): Promise<{ readonly user: string; readonly password: string }> {
  const directory = dataDirectory(configuration.dataDir);
  requireNode(directory);
  const lock = await lockDataDirectory(directory.root);
  try {
    const { storeId } = await requireIdentity(directory);
    const { all } = loadControl(configuration);
    const { keyring } = new KeyringFile(directory.keyring, { storeId, controlKeys: () => all });
    const sealer = new Sealer({ keyring, storeId, random: systemRandom });
    const { password, reset } = await newAdminReset();
    const bytes = sealer.seal(codec, reset, { purpose: 'trust', place: PLACE });
    await writeFileDurably({ path: directory.adminReset, bytes, mode: 0o600 });
    return { user: ADMIN_USER, password };
  } finally {
    await lock.release();
  }
}

export interface AdminResetParts {
  readonly directory: DataDirectory;
  readonly sealer: Sealer;
  readonly submit: Pick<Submit, 'submit'>;
  readonly nodeId: NodeId;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly logger: Logger;
}

/**
 * Turns a request that was left in the data directory into a command, which counts once a quorum has it, and then takes it
 * away. A node that dies in between does it again: the state knows a reset that it has applied.
 */
export class AdminReset {
  readonly #parts: AdminResetParts;
  readonly #lines: RareLines;
  #retry: Timer | null = null;
  #running: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(parts: AdminResetParts) {
    this.#parts = parts;
    this.#lines = new RareLines(parts.clock);
  }

  start(): void {
    this.#running = this.#apply();
  }

  /** Lets what is under way end, for a while: then it is done again after the next start. Never rejects. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#retry?.stop();
    await endedWithin(this.#parts.scheduler, LIMITS.adminResetStopMs, this.#running);
  }

  async #apply(): Promise<void> {
    const { directory, logger, scheduler } = this.#parts;
    if (!existsSync(directory.adminReset)) return;
    try {
      const reset = this.#read();
      if (reset !== null) await this.#command(reset);
      await rm(directory.adminReset, { force: true });
      await syncDirectory(directory.root);
      if (reset !== null)
        logger.warn(
          { user: ADMIN_USER, reset: reset.id },
          'the administrator was reset, as was asked for offline',
        );
    } catch (thrown) {
      if (this.#stopped) return;
      const { code, message } = toHoldfastError(thrown);
      if (this.#lines.isDue(code)) logger.warn({ code }, `the administrator is not reset yet: ${message}`);
      this.#retry = scheduler.after(LIMITS.adminResetRetryMs, () => this.start());
    }
  }

  /** Null: it opens no more, since the keys were changed meanwhile, or it is damaged. */
  #read(): ResetAdmin | null {
    const { directory, sealer, logger } = this.#parts;
    try {
      return sealer.open(codec, readFileSync(directory.adminReset), { purpose: 'trust', place: PLACE });
    } catch (thrown) {
      if (!(thrown instanceof HoldfastError)) throw thrown;
      logger.warn(
        { code: thrown.code, hint: 'make it again: holdfast access reset-admin' },
        'the request to reset the administrator does not open, and is dropped',
      );
      return null;
    }
  }

  async #command({ id, passwordHash }: ResetAdmin): Promise<void> {
    const { submit, nodeId, clock } = this.#parts;
    const principal = { kind: 'node', name: nodeId, address: '' };
    const deadlineMs = clock.monotonicMs() + LIMITS.requestTimeoutMs;
    const outcome = await submit.submit({ principal, resetAdmin: { id, passwordHash } }, deadlineMs);
    const failure = outcomeFailure(outcome);
    if (failure !== null) throw failure;
  }
}
