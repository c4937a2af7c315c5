import { Metadata, type ServerWritableStream, status } from '@grpc/grpc-js';
import type { LogIndex, NodeId } from '../../base/ids.ts';
import { LIMITS } from '../../base/limits.ts';
import type { Logger } from '../../base/logger.ts';
import type { SnapshotChunk, SnapshotHeader, SnapshotRow } from '../../proto/peer.ts';
import type { StateSnapshot } from '../replicatedLog.ts';
import { endWith, grpcError } from './peerService.ts';
import type { Refusals } from './refusals.ts';
import type { PeerReceiver, StoreIdentity } from './types.ts';

type GiveUp = (error: ReturnType<typeof grpcError>) => void;

interface Streaming {
  readonly receiver: PeerReceiver;
  readonly mayRead: () => boolean;
  readonly index: LogIndex;
  /** The call is given up: nothing more is written, or waited for. */
  readonly over: AbortSignal;
}

type SnapshotCall = ServerWritableStream<Buffer, SnapshotChunk>;

export interface SnapshotReader {
  readonly peerId: NodeId;
  /** Null before the node is ready. */
  readonly receiver: PeerReceiver | null;
  /** Asked for each chunk: a node may be removed, or give way to a later process of it, while it reads. */
  readonly mayRead: () => boolean;
  /** At or above which the snapshot has to be. */
  readonly index: LogIndex;
}

/** Serves snapshots to followers: a few at a time, one for a node, no faster than the follower reads. */
export class SnapshotServer {
  readonly #store: StoreIdentity;
  readonly #refusals: Refusals;
  readonly #logger: Logger;
  readonly #deadlineMs: number;
  /** How each that is being served is given up. */
  readonly #serving = new Map<NodeId, GiveUp>();

  /** `deadlineMs`: for the whole of a snapshot. Default: LIMITS.snapshotPullDeadlineMs. */
  constructor(options: { store: StoreIdentity; refusals: Refusals; logger: Logger; deadlineMs?: number }) {
    this.#store = options.store;
    this.#refusals = options.refusals;
    this.#logger = options.logger;
    this.#deadlineMs = options.deadlineMs ?? LIMITS.snapshotPullDeadlineMs;
  }

  async serve(call: SnapshotCall, { peerId, receiver, mayRead, index }: SnapshotReader): Promise<void> {
    call.on('error', () => undefined);
    if (receiver === null) {
      endWith(call, grpcError(status.UNAVAILABLE, 'starting'));
      return;
    }
    // The follower has begun again: its earlier pull is dead.
    this.#serving.get(peerId)?.(grpcError(status.ABORTED, 'superseded'));
    if (!this.#serving.has(peerId) && this.#serving.size >= LIMITS.snapshotsServedMax) {
      this.#refusals.count('snapshotsFull', { peerId });
      endWith(call, grpcError(status.RESOURCE_EXHAUSTED, 'busy with other snapshots'));
      return;
    }
    const over = new AbortController();
    // The status waits behind what the follower does not read; nothing else waits with it.
    const giveUp: GiveUp = (error) => {
      if (over.signal.aborted) return;
      endWith(call, error);
      over.abort();
    };
    this.#serving.set(peerId, giveUp);
    // One that reads slowly, or not at all, must not keep the others from theirs.
    const deadline = setTimeout(() => {
      giveUp(grpcError(status.DEADLINE_EXCEEDED, 'the snapshot was not read in time'));
    }, this.#deadlineMs);
    try {
      await this.#stream(call, { receiver, mayRead, index, over: over.signal });
    } catch (thrown) {
      this.#logger.warn({ peerId, error: String(thrown) }, 'a snapshot was not sent to its end');
      giveUp(grpcError(status.UNAVAILABLE, 'the snapshot could not be read to its end'));
    } finally {
      clearTimeout(deadline);
      if (this.#serving.get(peerId) === giveUp) this.#serving.delete(peerId);
    }
  }

  async #stream(call: SnapshotCall, { receiver, mayRead, index, over }: Streaming): Promise<void> {
    const send = (chunk: SnapshotChunk): Promise<void> => write(call, { chunk, over });
    call.sendMetadata(new Metadata());
    const snapshot = await receiver.openSnapshot();
    try {
      if (snapshot.metadata.index < index) {
        endWith(call, grpcError(status.UNAVAILABLE, 'the durable state is not that far yet'));
        return;
      }
      await send({ header: this.#header(snapshot), rows: [], rowsTotal: 0, last: false });
      let rowsTotal = 0;
      for await (const rows of snapshot.rows()) {
        for (const chunk of chunksOf(rows)) {
          if (!mayRead()) {
            endWith(
              call,
              grpcError(status.PERMISSION_DENIED, 'not a member any more, or not heard any more'),
            );
            return;
          }
          await send({ rows: chunk, rowsTotal: 0, last: false });
          rowsTotal += chunk.length;
        }
      }
      await send({ rows: [], rowsTotal, last: true });
      call.end();
    } finally {
      await snapshot.close();
    }
  }

  #header({ metadata, keyring }: StateSnapshot): SnapshotHeader {
    const { clusterId, storeId, format } = this.#store;
    const { index, term, hash, configuration } = metadata;
    return { clusterId, storeId, format, index, term, hash, configuration, keyring };
  }
}

function* chunksOf(rows: readonly SnapshotRow[]): Generator<readonly SnapshotRow[]> {
  let chunk: SnapshotRow[] = [];
  let bytes = 0;
  for (const row of rows) {
    const rowBytes = row.key.length + row.envelope.length + 16;
    if (chunk.length > 0 && bytes + rowBytes > LIMITS.snapshotChunkBytes) {
      yield chunk;
      chunk = [];
      bytes = 0;
    }
    chunk.push(row);
    bytes += rowBytes;
  }
  if (chunk.length > 0) yield chunk;
}

/** Resolves when the receiver's window has room for the next; rejects when the call is over. */
function write(
  call: SnapshotCall,
  { chunk, over }: { chunk: SnapshotChunk; over: AbortSignal },
): Promise<void> {
  return new Promise((resolve, reject) => {
    const gone = (): void => reject(new Error('the follower has gone, or does not read'));
    if (call.cancelled || call.destroyed || over.aborted) {
      gone();
      return;
    }
    call.once('cancelled', gone);
    call.once('close', gone);
    over.addEventListener('abort', gone);
    call.write(chunk, (error?: Error | null) => {
      call.off('cancelled', gone);
      call.off('close', gone);
      over.removeEventListener('abort', gone);
      if (error === null || error === undefined) resolve();
      else reject(error);
    });
  });
}
