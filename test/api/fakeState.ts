import type { WatchHandle, WatchSink } from '../../src/api/ports.ts';
import type { HoldfastError } from '../../src/base/errors.ts';
import type { StatusResponse } from '../../src/proto/cluster.ts';
import type { WatchEvent } from '../../src/proto/kv.ts';
import type { KeyRange, KeyValue, Outcome } from '../../src/proto/storage.ts';

/** State that several fake nodes of one fake cluster share. */
export class FakeState {
  readonly items = new Map<string, KeyValue>();
  readonly history: { revision: number; events: WatchEvent[] }[] = [];
  readonly answers = new Map<number, Map<number, Outcome>>();
  readonly watches = new Set<FakeWatch>();
  revision = 1;
  compactedRevision = 0;
  clients = 0;
  applied = 0;
}

/** A watch of a fake node: told of the shared state's history, and of nothing else. */
export class FakeWatch implements WatchHandle {
  readonly startedAfterRevision: number;
  /** The fake node it is a watch of: when that one is gone, so is the watch. */
  readonly node: object;
  readonly #state: FakeState;
  readonly #range: KeyRange | null;
  readonly #sink: WatchSink;
  #told: number;
  full = false;

  constructor(options: {
    state: FakeState;
    range: KeyRange | null;
    after: number;
    sink: WatchSink;
    node: object;
  }) {
    this.#state = options.state;
    this.#range = options.range;
    this.#sink = options.sink;
    this.node = options.node;
    this.startedAfterRevision = options.after;
    this.#told = options.after;
    this.#state.watches.add(this);
    this.pump();
  }

  pump(): void {
    for (const { revision, events } of this.#state.history) {
      if (this.full || revision <= this.#told) continue;
      this.#told = revision;
      const wanted = events.filter((event) => event.item && isWithin(this.#range, event.item.key));
      if (wanted.length > 0) this.full = !this.#sink.deliver({ revision, events: wanted });
    }
  }

  resume(): void {
    this.full = false;
    this.pump();
  }

  close(): void {
    this.#state.watches.delete(this);
  }

  cancel(error: HoldfastError): void {
    this.close();
    this.#sink.cancelled(error, this.#told + 1);
  }
}

export function isWithin(range: KeyRange | null, key: Uint8Array): boolean {
  if (range === null) return false;
  const { start, end } = range;
  return Buffer.compare(key, start) >= 0 && (end.length === 0 || Buffer.compare(key, end) < 0);
}

export function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1');
}

export const EMPTY_STATUS: StatusResponse = {
  clusterId: '00000000000000c1',
  nodeId: '',
  name: 'fake',
  version: '0',
  role: 'leader',
  term: 1,
  leader: '',
  commitIndex: 0,
  appliedIndex: 0,
  durableIndex: 0,
  revision: 0,
  compactedRevision: 0,
  digest: '',
  encryption: 'on',
  controlKeyFingerprint: '',
  logTimeMs: 0,
  wallTimeMs: 0,
  keys: 0,
  watches: 0,
  members: [],
  warnings: [],
  uptimeMs: 0,
};
