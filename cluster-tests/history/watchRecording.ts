import { toHoldfastError } from '../../src/base/errors.ts';
import type { KeySelector, WatchBatch, WatchOptions } from '../../src/client/index.ts';
import type { Recorder } from './recorder.ts';
import { keyEvent } from './storeForms.ts';
import type { WatchSelector } from './types.ts';

/** What is recorded of: a watch of the client library, or of a test. */
export interface WatchSource {
  watch(options: KeySelector & WatchOptions): AsyncIterable<WatchBatch> & {
    ready(): Promise<number>;
    close(): void;
  };
}

/** A watch whose every batch is recorded, from its opening to its end. */
export class WatchRecording {
  readonly id: number;
  /** Resolves after the last line; never rejects for what the cluster does. */
  readonly ended: Promise<void>;
  readonly #watch: ReturnType<WatchSource['watch']>;
  #revision = 0;
  #isOpen = true;

  constructor(options: {
    readonly recorder: Recorder;
    readonly client: WatchSource;
    readonly node: string;
    readonly selector: WatchSelector;
    /** The first revision to tell; 0 or absent: from now on. */
    readonly from?: number;
    readonly previous?: boolean;
    readonly progress?: boolean;
  }) {
    const { recorder, client, node, selector, from = 0, previous = false, progress = false } = options;
    this.id = recorder.newWatch();
    recorder.write({ ...this.#line(recorder), kind: 'open', node, selector, from, previous, progress });
    this.#watch = client.watch({
      ...selector,
      previous,
      progress,
      ...(from === 0 ? {} : { startRevision: from }),
    });
    const started = this.#watch.ready().then(
      (rev) => recorder.write({ ...this.#line(recorder), kind: 'started', rev }),
      () => undefined,
    );
    this.ended = this.#receive(recorder, started, previous);
  }

  /** All up to here is recorded. */
  get revision(): number {
    return this.#revision;
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  async close(): Promise<void> {
    this.#watch.close();
    await this.ended;
  }

  async #receive(recorder: Recorder, started: Promise<void>, previous: boolean): Promise<void> {
    let error: string | null = null;
    try {
      await started;
      for await (const batch of this.#watch) {
        const events = batch.events.map((event) => keyEvent(event, { previous }));
        recorder.write({ ...this.#line(recorder), kind: 'batch', rev: batch.revision, events });
        this.#revision = batch.revision;
        await recorder.flushed();
      }
    } catch (thrown) {
      error = toHoldfastError(thrown).code;
    }
    this.#isOpen = false;
    recorder.write({ ...this.#line(recorder), kind: 'end', error });
  }

  #line(recorder: Recorder) {
    return { f: 'watch', watch: this.id, at: recorder.now() } as const;
  }
}
