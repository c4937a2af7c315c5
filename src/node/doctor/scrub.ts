import type { ScrubStatus } from '../../proto/cluster.ts';
import { type Finding, ok } from './finding.ts';

/** When a node has last read again all that it has on disk. Nothing from a node that does not tell. */
export function checkScrub(name: string, scrub: ScrubStatus | null | undefined): readonly Finding[] {
  if (!scrub) return [];
  if (scrub.finishedMs === 0) {
    return [ok('disk contents', `${name} has verified its disk at its start, and not again since`)];
  }
  const { finishedMs, durationMs, rows, logSegments, bytes } = scrub;
  const seconds = Math.ceil(durationMs / 1_000);
  const what = `${rows} rows and ${logSegments} log segments (${Math.ceil(bytes / 1_048_576)} MiB) in ${seconds} s`;
  return [ok('disk contents', `${name} has verified ${what}, at ${new Date(finishedMs).toISOString()}`)];
}
