import { Metadata, type ServerWritableStream, status } from '@grpc/grpc-js';
import type { NodeId } from '../../base/ids.ts';
import { LIMITS } from '../../base/limits.ts';
import type { Logger } from '../../base/logger.ts';
import type { PullSnapshotRequest, SnapshotChunk, SnapshotHeader, SnapshotRow } from '../../proto/peer.ts';
import type { StateSnapshot } from '../replicatedLog.ts';
import { endWith, grpcError } from './peerService.ts';
import type { Refusals } from './refusals.ts';
import type { PeerReceiver, StoreIdentity } from './types.ts';

type SnapshotCall = ServerWritableStream<PullSnapshotRequest, SnapshotChunk>;

/** Serves snapshots to followers: a few at a time, one for a node, no faster than the follower reads. */
export class SnapshotServer {
  readonly #store: StoreIdentity;
  readonly #refusals: Refusals;
  readonly #logger: Logger;
  readonly #serving = new Map<NodeId, SnapshotCall>();

  constructor(options: { store: StoreIdentity; refusals: Refusals; logger: Logger }) {
    this.#store = options.store;
    this.#refusals = options.refusals;
    this.#logger = options.logger;
  }

  async serve(
    call: SnapshotCall,
    { peerId, receiver }: { peerId: NodeId; receiver: PeerReceiver | null },
  ): Promise<void> {
    call.on('error', () => undefined);
    if (receiver === null) {
      endWith(call, grpcError(status.UNAVAILABLE, 'starting'));
      return;
    }
    // The follower has begun again: its earlier pull is dead.
    const earlier = this.#serving.get(peerId);
    if (earlier !== undefined) endWith(earlier, grpcError(status.ABORTED, 'superseded'));
    if (!this.#serving.has(peerId) && this.#serving.size >= LIMITS.snapshotsServedMax) {
      this.#refusals.count('snapshotsFull', { peerId });
      endWith(call, grpcError(status.RESOURCE_EXHAUSTED, 'busy with other snapshots'));
      return;
    }
    this.#serving.set(peerId, call);
    try {
      await this.#stream(call, receiver);
    } catch (thrown) {
      this.#logger.warn({ peerId, error: String(thrown) }, 'a snapshot was not sent to its end');
      endWith(call, grpcError(status.UNAVAILABLE, 'the snapshot could not be read to its end'));
    } finally {
      if (this.#serving.get(peerId) === call) this.#serving.delete(peerId);
    }
  }

  async #stream(call: SnapshotCall, receiver: PeerReceiver): Promise<void> {
    call.sendMetadata(new Metadata());
    const snapshot = await receiver.openSnapshot();
    try {
      if (snapshot.metadata.index < call.request.index) {
        endWith(call, grpcError(status.UNAVAILABLE, 'the durable state is not that far yet'));
        return;
      }
      await write(call, { header: this.#header(snapshot), rows: [], rowsTotal: 0, last: false });
      let rowsTotal = 0;
      for await (const rows of snapshot.rows()) {
        for (const chunk of chunksOf(rows)) {
          await write(call, { rows: chunk, rowsTotal: 0, last: false });
          rowsTotal += chunk.length;
        }
      }
      await write(call, { rows: [], rowsTotal, last: true });
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
function write(call: SnapshotCall, chunk: SnapshotChunk): Promise<void> {
  return new Promise((resolve, reject) => {
    const over = (): void => reject(new Error('the follower has gone'));
    if (call.cancelled || call.destroyed) {
      over();
      return;
    }
    call.once('cancelled', over);
    call.once('close', over);
    call.write(chunk, (error?: Error | null) => {
      call.off('cancelled', over);
      call.off('close', over);
      if (error === null || error === undefined) resolve();
      else reject(error);
    });
  });
}
