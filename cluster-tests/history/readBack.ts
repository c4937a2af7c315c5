/** What the cluster says when a run is over: all changes that it kept, and the digests of its nodes. */
import { HoldfastError } from '../../src/base/errors.ts';
import type { HoldfastClient, StatusResponse } from '../../src/client/index.ts';
import type { Actor } from './actor.ts';
import { END_MARKER } from './eventLog.ts';
import type { Recorder } from './recorder.ts';
import { keyEvent } from './storeForms.ts';
import type { LogLine } from './types.ts';

/**
 * Records every change of the keys that begin with `prefix`, after revision `after`, up to the newest one now. The
 * checkers take this for what was committed; it is itself checked against every acknowledged write and every read.
 * To be called when no operation is under way, once, after
 * the final reads (they can only be checked up to the end of the events). `after` is where the keys began, such as the revision at which the
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
  // Deletions leave nothing behind that a read could find: the end of the events is known by a marker of our own.
  const marker = `${prefix}${END_MARKER}`;
  const { revision: upTo } = await client.put(marker, `end after ${after}`, { timeoutMs });
  const watch = client.watch({ prefix, startRevision: after + 1, previous: true });
  const timer = setTimeout(() => watch.close(), timeoutMs);
  let reached = after;
  try {
    for await (const batch of watch) {
      for (const event of batch.events) {
        if (event.item.modRevision > upTo) continue;
        recorder.write({ f: 'event', ...keyEvent(event, { previous: true }) });
      }
      await recorder.flushed();
      reached = batch.revision;
      if (reached >= upTo) break;
    }
  } finally {
    clearTimeout(timer);
    watch.close();
  }
  if (reached < upTo) {
    throw new HoldfastError('DEADLINE_EXCEEDED', `the events did not come within ${timeoutMs} ms`);
  }
  const line: LogLine = { f: 'log', prefix, after, upTo };
  recorder.write(line);
  return line;
}

/** The final read of every key that the run has used. */
export async function recordFinalReads(actor: Actor, keys: Iterable<string>): Promise<void> {
  for (const key of keys) await actor.get(key);
}

/** Records what nodes have said of their states, all of them at one index: another question may find them at another. */
export function recordDigests(recorder: Recorder, statuses: readonly StatusResponse[]): void {
  for (const { name, appliedIndex, revision, digest } of statuses)
    recorder.write({ f: 'digest', node: name, index: appliedIndex, rev: revision, digest });
}
