import type { ClientReadableStream } from '@grpc/grpc-js';
import { present } from '../../base/assert.ts';
import { HoldfastError } from '../../base/errors.ts';
import { type LogIndex, type NodeId, parseNodeId } from '../../base/ids.ts';
import { LIMITS } from '../../base/limits.ts';
import {
  type PullSnapshotRequest,
  peerService,
  type SnapshotChunk,
  type SnapshotHeader,
  type SnapshotRow,
} from '../../proto/peer.ts';
import type { MethodDefinition } from '../../proto/registry.ts';
import type { StoredConfiguration } from '../../proto/storage.ts';
import { checkConfiguration, membersOf } from '../raft/configuration.ts';
import type { Configuration, SnapshotMetadata } from '../raft/types.ts';
import type { StateSnapshot } from '../replicatedLog.ts';
import type { Dialled } from './peerDialing.ts';
import type { StoreIdentity } from './types.ts';

export interface PullOptions {
  readonly index: LogIndex;
  /** Who pulls. */
  readonly nodeId: NodeId;
  readonly store: StoreIdentity;
  /** Default: LIMITS.snapshotBytesMax. */
  readonly bytesMax?: number;
  /** For the whole of it, rows included. */
  readonly deadlineMs: number;
  /** Ends the pull, at whatever point it is. */
  readonly signal: AbortSignal;
}

type ChunkStream = ClientReadableStream<SnapshotChunk>;

/**
 * Pulls a snapshot over a connection that is closed with the snapshot. The rows are bounded by the connection's window:
 * nothing is read ahead of what `rows()` is asked for but that.
 * @throws HoldfastError UNAVAILABLE (also when the deadline passed), CLUSTER_MISMATCH, VERSION_UNSUPPORTED, STATE_CORRUPT
 */
export async function pullSnapshot(
  { client, prove, over, close }: Dialled,
  wanted: PullOptions,
): Promise<StateSnapshot> {
  try {
    await prove();
    over.throwIfAborted();
  } catch (thrown) {
    close();
    throw thrown;
  }
  const method = present(peerService['pullSnapshot'], 'pullSnapshot') as MethodDefinition<
    PullSnapshotRequest,
    SnapshotChunk
  >;
  const stream = client.makeServerStreamRequest(
    method.path,
    method.requestSerialize,
    method.responseDeserialize,
    { index: wanted.index },
  );
  const cancel = (): void => stream.cancel();
  const deadline = setTimeout(cancel, wanted.deadlineMs);
  const ending = AbortSignal.any([wanted.signal, over]);
  ending.addEventListener('abort', cancel);
  stream.once('close', () => {
    clearTimeout(deadline);
    ending.removeEventListener('abort', cancel);
  });
  const chunks = stream[Symbol.asyncIterator]() as AsyncIterator<SnapshotChunk>;
  const impatience = setTimeout(cancel, LIMITS.snapshotHeaderDeadlineMs);
  try {
    const header = await firstHeader(chunks);
    const metadata = checkHeader(header, wanted);
    const { bytesMax = LIMITS.snapshotBytesMax } = wanted;
    const keyring = Buffer.from(header.keyring);
    return new PulledSnapshot({ metadata, keyring }, { close, stream, chunks, bytesMax });
  } catch (thrown) {
    stream.cancel();
    close();
    throw asPullError(thrown);
  } finally {
    clearTimeout(impatience);
  }
}

interface Source {
  readonly close: () => void;
  readonly stream: ChunkStream;
  readonly chunks: AsyncIterator<SnapshotChunk>;
  readonly bytesMax: number;
}

class PulledSnapshot implements StateSnapshot {
  readonly metadata: SnapshotMetadata;
  readonly keyring: Uint8Array;
  readonly #source: Source;

  constructor(what: { metadata: SnapshotMetadata; keyring: Uint8Array }, source: Source) {
    this.metadata = what.metadata;
    this.keyring = what.keyring;
    this.#source = source;
  }

  /** Ends normally only after the last chunk, with as many rows as the sender counted. */
  async *rows(): AsyncGenerator<readonly SnapshotRow[]> {
    let count = 0;
    const order = new RowOrder(this.#source.bytesMax);
    try {
      for (;;) {
        const next = await this.#source.chunks.next();
        if (next.done === true) throw corrupt('ends before its last chunk');
        const chunk = next.value;
        if (chunk.header !== null && chunk.header !== undefined) throw corrupt('begins twice');
        count += chunk.rows.length;
        order.check(chunk.rows);
        if (chunk.rows.length > 0) yield chunk.rows;
        if (!chunk.last) continue;
        if (chunk.rowsTotal !== count) throw corrupt(`has ${count} rows instead of ${chunk.rowsTotal}`);
        return;
      }
    } catch (thrown) {
      throw asPullError(thrown);
    }
  }

  close(): Promise<void> {
    this.#source.stream.cancel();
    this.#source.close();
    return Promise.resolve();
  }
}

/** Rows come in the order of their keys: none twice, no chunk again or before another, and not without end. */
class RowOrder {
  readonly #bytesMax: number;
  #bytes = 0;
  #last: Uint8Array | null = null;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  check(rows: readonly SnapshotRow[]): void {
    for (const { key, envelope } of rows) {
      if (this.#last !== null && Buffer.compare(this.#last, key) >= 0) throw corrupt('has rows out of order');
      this.#last = key;
      this.#bytes += key.length + envelope.length;
    }
    if (this.#bytes > this.#bytesMax) throw corrupt(`is larger than ${this.#bytesMax} bytes`);
  }
}

async function firstHeader(chunks: AsyncIterator<SnapshotChunk>): Promise<SnapshotHeader> {
  const first = await chunks.next();
  if (first.done === true || first.value.header === null || first.value.header === undefined) {
    throw corrupt('has no header');
  }
  if (first.value.rows.length > 0 || first.value.last) throw corrupt('has rows in its header');
  return first.value.header;
}

function checkHeader(header: SnapshotHeader, { index, nodeId, store }: PullOptions): SnapshotMetadata {
  if (header.clusterId !== store.clusterId || header.storeId !== store.storeId) {
    throw new HoldfastError('CLUSTER_MISMATCH', 'the snapshot offered is of another cluster or store');
  }
  if (header.format !== store.format) {
    throw new HoldfastError('VERSION_UNSUPPORTED', `the snapshot offered has format ${header.format}`, {
      hint: 'run the same version of holdfast on all nodes',
    });
  }
  for (const value of [header.index, header.term]) {
    if (!Number.isSafeInteger(value) || value < 1) throw corrupt('has an impossible place');
  }
  if (header.index < index) throw corrupt(`ends at ${header.index}, before the ${index} that was asked for`);
  if (header.hash.length !== 32) throw corrupt('has a malformed hash');
  const configuration = configurationOf(header.configuration);
  // Invariant 20. The state on disk there may not have come to the entry yet that lets this node in.
  if (!membersOf(configuration).includes(nodeId)) {
    throw new HoldfastError('UNAVAILABLE', 'the snapshot offered is of before this node was a member');
  }
  return {
    index: header.index,
    term: header.term,
    hash: Buffer.from(header.hash),
    configuration,
  };
}

function configurationOf(stored: StoredConfiguration | null | undefined): Configuration {
  if (stored === null || stored === undefined) throw corrupt('names no members');
  const ids = (list: readonly string[]) => list.map((id) => parseNodeId(id, 'snapshot.configuration'));
  const configuration: Configuration = {
    voters: ids(stored.voters),
    votersOutgoing: ids(stored.votersOutgoing),
    learners: ids(stored.learners),
    learnersNext: ids(stored.learnersNext),
    autoLeave: stored.autoLeave,
  };
  const invalid = checkConfiguration(configuration);
  if (invalid !== null) throw corrupt(`has an impossible configuration: ${invalid}`);
  return configuration;
}

function corrupt(what: string): HoldfastError {
  return new HoldfastError('STATE_CORRUPT', `the snapshot offered ${what}`);
}

function asPullError(thrown: unknown): HoldfastError {
  if (thrown instanceof HoldfastError) return thrown;
  const reason = thrown instanceof Error ? thrown.message : String(thrown);
  return new HoldfastError('UNAVAILABLE', `the snapshot could not be pulled: ${reason}`, { cause: thrown });
}
