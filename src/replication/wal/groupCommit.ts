import type { Clock } from '../../base/clock.ts';
import { HoldfastError } from '../../base/errors.ts';

/** One thing to make durable, with its size for the bound of a group. */
export interface CommitItem {
  readonly bytes: number;
}

type Waiting<Item> =
  | (Settle & { readonly kind: 'item'; readonly item: Item })
  /** Runs alone, between two groups. */
  | (Settle & { readonly kind: 'step'; readonly run: () => Promise<void> });

interface Settle {
  readonly resolve: () => void;
  readonly reject: (error: HoldfastError) => void;
}

/**
 * One write at a time; what arrives meanwhile waits and goes together into the next. No timer: an item that finds
 * nothing in flight is written at once. The first failure is final (the kernel drops pages whose sync failed, so a
 * second try would lie): everything that waits and everything later is rejected with that same DISK_FAILED.
 */
export class GroupCommit<Item extends CommitItem> {
  readonly #write: (group: readonly Item[]) => Promise<void>;
  readonly #groupBytesMax: number;
  readonly #clock: Clock;
  #waiting: Waiting<Item>[] = [];
  #running: Promise<void> | null = null;
  #writeStartedMs: number | null = null;
  #failure: HoldfastError | null = null;
  #closed = false;

  constructor(options: {
    readonly write: (group: readonly Item[]) => Promise<void>;
    readonly groupBytesMax: number;
    readonly clock: Clock;
  }) {
    this.#write = options.write;
    this.#groupBytesMax = options.groupBytesMax;
    this.#clock = options.clock;
  }

  /** Whether something is on its way to the disk. */
  get busy(): boolean {
    return this.#running !== null;
  }

  get failure(): HoldfastError | null {
    return this.#failure;
  }

  /** Why nothing is taken any more, or null. */
  refusal(): HoldfastError | null {
    if (this.#failure !== null) return this.#failure;
    return this.#closed ? new HoldfastError('UNAVAILABLE', 'the write-ahead log is closed') : null;
  }

  /** Resolves once the item is durable. */
  commit(item: Item): Promise<void> {
    return this.#enqueue((settle) => ({ kind: 'item', item, ...settle }));
  }

  /** Runs `run` once everything before it is durable, and before anything after it is written. */
  step(run: () => Promise<void>): Promise<void> {
    return this.#enqueue((settle) => ({ kind: 'step', run, ...settle }));
  }

  pendingWriteMs(): number {
    return this.#writeStartedMs === null ? 0 : this.#clock.monotonicMs() - this.#writeStartedMs;
  }

  /** Rejects all that waits and all that comes. Returns the error in force: the first one stays. */
  fail(cause: unknown): HoldfastError {
    this.#failure ??= diskFailed(cause);
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const each of waiting) each.reject(this.#failure);
    return this.#failure;
  }

  /** Takes nothing more; resolves when all that was taken is settled. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#running;
  }

  #enqueue(make: (settle: Settle) => Waiting<Item>): Promise<void> {
    const refusal = this.refusal();
    if (refusal !== null) return Promise.reject(refusal);
    return new Promise((resolve, reject) => {
      this.#waiting.push(make({ resolve, reject }));
      this.#running ??= this.#run();
    });
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0) {
      const group = this.#takeGroup();
      this.#writeStartedMs = this.#clock.monotonicMs();
      try {
        await this.#perform(group);
        // Something beside the write may have failed meanwhile: nothing is acknowledged any more.
        if (this.#failure !== null) throw this.#failure;
        for (const each of group) each.resolve();
      } catch (thrown) {
        const failure = this.fail(thrown);
        for (const each of group) each.reject(failure);
      }
      this.#writeStartedMs = null;
    }
    this.#running = null;
  }

  #takeGroup(): Waiting<Item>[] {
    let count = 0;
    let bytes = 0;
    for (const each of this.#waiting) {
      if (count > 0 && (each.kind === 'step' || bytes + each.item.bytes > this.#groupBytesMax)) break;
      count += 1;
      if (each.kind === 'step') break;
      bytes += each.item.bytes;
    }
    return this.#waiting.splice(0, count);
  }

  #perform(group: readonly Waiting<Item>[]): Promise<void> {
    const items: Item[] = [];
    for (const each of group) {
      if (each.kind === 'step') return each.run();
      items.push(each.item);
    }
    return this.#write(items);
  }
}

function diskFailed(cause: unknown): HoldfastError {
  if (cause instanceof HoldfastError && cause.code === 'DISK_FAILED') return cause;
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new HoldfastError('DISK_FAILED', `the write-ahead log cannot be written: ${reason}`, {
    hint: 'check the disk and its free space, then start the node again',
    cause,
  });
}
