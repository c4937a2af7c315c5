import { relative } from 'node:path';
import { InvariantViolation } from '../../base/assert.ts';
import type { Clock } from '../../base/clock.ts';
import { toHoldfastError } from '../../base/errors.ts';
import type { NodeId } from '../../base/ids.ts';
import { LIMITS } from '../../base/limits.ts';
import type { Logger } from '../../base/logger.ts';
import { RareLines } from '../../base/rareLines.ts';
import type { Scheduler } from '../../base/scheduler.ts';
import type { KeyId } from '../../envelope/format.ts';
import type { Sealer } from '../../envelope/sealer.ts';
import type { KeyChangeRow, NoteKeyChange } from '../../proto/storage.ts';
import type { RewrittenState } from '../../store/rewrite.ts';
import type { ScrubPace } from '../../store/scrub.ts';
import { scanForEnvelopes, type Wanted } from './scan.ts';

export interface RewriterParts {
  readonly nodeId: NodeId;
  /** The data directory. */
  readonly root: string;
  readonly sealer: Sealer;
  readonly change: () => KeyChangeRow | null;
  readonly rewriteState: (pace: ScrubPace) => Promise<RewrittenState | null>;
  /** Without what was overwritten; nothing is sealed. */
  readonly compactState: (pace: ScrubPace) => Promise<RewrittenState | null>;
  /** What lies beside the state and is sealed once: its own key, the first members. */
  readonly rewriteFiles: () => Promise<void>;
  readonly forgetLog: () => Promise<void>;
  /** Work of callers waits. */
  readonly isBusy: () => boolean;
  readonly appliedIndex: () => number;
  /** @throws HoldfastError NO_SPACE while the disk is low */
  readonly requireRoom: () => Promise<void>;
  /** Commits it. @throws HoldfastError */
  readonly note: (note: NoteKeyChange) => Promise<void>;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly logger: Logger;
}

/** Of the time that it works, so much it rests while callers wait. */
const REST_PER_WORK = 4;
/** What the log still needs, or LevelDB has not deleted yet, is gone after a few. */
const PROMPT_ROUNDS = 8;

/**
 * Every node's part of a change of keys: seals anew all that it has on disk, looks through all its files for what is left
 * under old keys, and tells the others how much that is. Begins again after a restart: what is done stays done.
 */
export class Rewriter {
  readonly #parts: RewriterParts;
  readonly #lines: RareLines;
  #running: Promise<void> | null = null;
  #rewritten = 0;
  #forChange = '';
  #left: readonly string[] = [];
  /** How often the state was taken from another node, and at which of these it was gone through last. */
  #replaced = 0;
  #wholeAt: number | null = null;
  #retryAtMs = 0;
  #retryAfterMs: number = LIMITS.rewriteRetryMs;
  #rounds = 0;
  #stopped = false;
  #applied = { index: 0, sinceMs: Number.NEGATIVE_INFINITY };

  constructor(parts: RewriterParts) {
    this.#parts = parts;
    this.#lines = new RareLines(parts.clock);
  }

  /** What is left under old keys and cannot be sealed anew here, one sentence; for status. */
  get warnings(): readonly string[] {
    return this.#left;
  }

  /** Another node's state is in place of this one's. */
  stateReplaced(): void {
    this.#replaced += 1;
  }

  /** To be called now and then. */
  look(): void {
    if (this.#running !== null || this.#stopped || this.#parts.clock.monotonicMs() < this.#retryAtMs) return;
    const change = this.#parts.change();
    if (change === null || change.phase !== 'rewriting' || !this.#hasWork(change)) return;
    this.#running = this.#run(change)
      .catch((thrown: unknown) => this.#interrupted(thrown))
      .finally(() => {
        this.#running = null;
        this.#retryAtMs = this.#parts.clock.monotonicMs() + this.#retryAfterMs;
      });
  }

  #interrupted(thrown: unknown): void {
    if (thrown instanceof InvariantViolation) throw thrown;
    const { code, message: reason, hint } = toHoldfastError(thrown);
    this.#left = [`what is stored could not be sealed anew yet: ${reason}`];
    if (this.#lines.isDue(code))
      this.#parts.logger.warn({ code, reason, hint }, 'sealing anew was interrupted, and goes on later');
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.ended();
  }

  /** Resolves when what is under way has ended; at once when nothing is. */
  async ended(): Promise<void> {
    await this.#running;
  }

  #hasWork(change: KeyChangeRow): boolean {
    const own = change.members.find(({ nodeId }) => nodeId === this.#parts.nodeId);
    return own === undefined || !own.counted || own.remaining > 0 || this.#replaced > (this.#wholeAt ?? 0);
  }

  async #run(change: KeyChangeRow): Promise<void> {
    if (this.#forChange !== change.id) {
      [this.#forChange, this.#rewritten, this.#wholeAt, this.#rounds] = [change.id, 0, null, 0];
      this.#retryAfterMs = LIMITS.rewriteRetryMs;
    }
    const replaced = this.#replaced;
    if (!(await this.#sealAnew())) return;
    const { count, paths } = await scanForEnvelopes(this.#parts.root, this.#wanted());
    this.#left = count === 0 ? [] : [this.#warning(count, paths)];
    // A state that came from elsewhere meanwhile has to be gone through first.
    if (this.#replaced !== replaced || this.#stopped) return;
    await this.#tell(change, count);
    this.#wholeAt = replaced;
    this.#rounds += 1;
    // What is left after so many is for the operator to delete.
    if (count > 0 && this.#rounds > PROMPT_ROUNDS)
      this.#retryAfterMs = Math.min(2 * this.#retryAfterMs, LIMITS.rewriteRetryMsMax);
  }

  /** False: ended early. */
  async #sealAnew(): Promise<boolean> {
    const { rewriteState, compactState, rewriteFiles, forgetLog } = this.#parts;
    // What was sealed before lies in segments that end here, and can go as a whole once the state holds it.
    await this.#parts.forgetLog();
    // Right after a round in which all was sealed, what is left can only be what its rows have taken the place of.
    const isSealed = this.#rounds % 2 === 1 && this.#wholeAt === this.#replaced;
    const state = await (isSealed ? compactState : rewriteState)(this.#pace());
    this.#rewritten += state?.rewritten ?? 0;
    if (state === null || !state.whole || this.#stopped) return false;
    await rewriteFiles();
    await forgetLog();
    return true;
  }

  /** What it has told already is not told again. */
  async #tell({ id, members }: KeyChangeRow, remaining: number): Promise<void> {
    const { nodeId, note } = this.#parts;
    const own = members.find((member) => member.nodeId === nodeId);
    if (own?.counted === true && own.remaining === remaining && own.rewritten === this.#rewritten) return;
    await note({
      id,
      note: 'counted',
      nodeId,
      rewritten: this.#rewritten,
      remaining,
      newFingerprint: '',
      previousFingerprint: '',
    });
  }

  /** Old keys; with the toggle on, also what lies readable. */
  #wanted(): Wanted {
    const { keys, active, encryption } = this.#parts.sealer.keyring;
    const change = this.#parts.change();
    if (change?.kind === 'encryption')
      return encryption === 'on' ? { keyIds: new Set(keys.keys()), suite: 0 } : NOTHING_WANTED;
    return { keyIds: new Set<KeyId>([...keys.keys()].filter((id) => id !== active.id)), suite: null };
  }

  #warning(count: number, paths: readonly string[]): string {
    const where = paths.map((path) => relative(this.#parts.root, path)).join(', ');
    return `${count} envelopes are still under old keys, in ${where}; what this node does not use itself (a state or a log that was set aside) has to be deleted by hand`;
  }

  /** Callers of any node: what they write is applied here too. */
  #serves(): boolean {
    const { clock, appliedIndex, isBusy } = this.#parts;
    const [index, nowMs] = [appliedIndex(), clock.monotonicMs()];
    if (index !== this.#applied.index) this.#applied = { index, sinceMs: nowMs };
    return isBusy() || nowMs - this.#applied.sinceMs < LIMITS.rewriteQuietMs;
  }

  /** Callers come first: the more they wait, the longer it rests. */
  #pace(): ScrubPace {
    const { clock, scheduler, requireRoom } = this.#parts;
    let sinceMs = clock.monotonicMs();
    let roomAtMs = Number.NEGATIVE_INFINITY;
    return async () => {
      if (clock.monotonicMs() - roomAtMs >= LIMITS.rewriteRoomMs) {
        await requireRoom();
        roomAtMs = clock.monotonicMs();
      }
      const workedMs = clock.monotonicMs() - sinceMs;
      const restMs = this.#serves() ? Math.min(workedMs * REST_PER_WORK, LIMITS.rewriteRestMsMax) : 0;
      await new Promise<void>((resolve) => {
        if (restMs === 0) scheduler.afterPoll(resolve);
        else scheduler.after(restMs, resolve);
      });
      sinceMs = clock.monotonicMs();
      return !this.#stopped;
    };
  }
}

const NOTHING_WANTED: Wanted = { keyIds: new Set(), suite: null };
