/** What the cluster says when a run is over: all changes that it kept, and the digests of its nodes. */
import { present } from '../../src/base/assert.ts';
import { HoldfastError } from '../../src/base/errors.ts';
import type { HoldfastClient } from '../../src/client/index.ts';
import type { Actor } from './actor.ts';
import type { Recorder } from './recorder.ts';
import { keyEvent } from './storeForms.ts';
import type { LogLine } from './types.ts';

/**
 * Records every change of the keys that begin with `prefix`, after revision `after`, up to the newest one now. The
 * checkers take this for what was committed; it is itself checked against every acknowledged write and every read.
 * To be called when no operation is under way. `after` is where the keys began, such as the revision at which the
 * run started, and must not be compacted.
 * @throws HoldfastError DEADLINE_EXCEEDED when not all has come within `timeoutMs`, and what the watch throws
 */
export async function recordEvents(options: {
  readonly recorder: Recorder;
  readonly client: HoldfastClient;
  readonly prefix: string;
  readonly after: number;
  readonly timeoutMs: number;
}): Promise<LogLine> {
  const { recorder, client, prefix, after, timeoutMs } = options;
  const { revision: upTo } = await client.range({ prefix, countOnly: true, timeoutMs });
  const last = await lastChange(client, { prefix, after, upTo, timeoutMs });
  if (last > after) {
    const watch = client.watch({ prefix, startRevision: after + 1, previous: true, progress: true });
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      watch.close();
    }, timeoutMs);
    try {
      for await (const batch of watch) {
        for (const event of batch.events) {
          if (event.item.modRevision > upTo) continue;
          recorder.write({ f: 'event', ...keyEvent(event, { previous: true }) });
        }
        await recorder.flushed();
        if (batch.revision >= last) break;
      }
    } finally {
      clearTimeout(timer);
      watch.close();
    }
    if (isLate) {
      throw new HoldfastError('DEADLINE_EXCEEDED', `the events did not come within ${timeoutMs} ms`);
    }
  }
  const line: LogLine = { f: 'log', prefix, after, upTo };
  recorder.write(line);
  return line;
}

/**
 * The revision at which a watch of the prefix has surely told all up to `upTo`. Deletions leave nothing that a read
 * could find, so a marker is put behind everything.
 */
async function lastChange(
  client: HoldfastClient,
  where: {
    readonly prefix: string;
    readonly after: number;
    readonly upTo: number;
    readonly timeoutMs: number;
  },
): Promise<number> {
  if (where.upTo <= where.after) return where.after;
  const { revision } = await client.put(`${where.prefix}${END_MARKER}`, String(where.upTo), {
    timeoutMs: where.timeoutMs,
  });
  return revision;
}

/** The last part of a key that says where a read-back ended; no workload uses it. */
export const END_MARKER = '~end';

/** The final read of every key that the run has used. */
export async function recordFinalReads(actor: Actor, keys: Iterable<string>): Promise<void> {
  for (const key of keys) await actor.get(key);
}

/** Records the digest of every node that answers; compare them when all have applied the same index. */
export async function recordDigests(recorder: Recorder, client: HoldfastClient): Promise<number> {
  let count = 0;
  for (const report of await client.cluster.statusOfAll({ timeoutMs: DIGEST_TIMEOUT_MS })) {
    if (!('status' in report)) continue;
    const { name, appliedIndex, revision, digest } = report.status;
    recorder.write({
      f: 'digest',
      node: present(name, 'name of a node'),
      index: appliedIndex,
      rev: revision,
      digest,
    });
    count += 1;
  }
  return count;
}

const DIGEST_TIMEOUT_MS = 5_000;
