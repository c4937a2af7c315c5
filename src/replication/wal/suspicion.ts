import { asBuffer } from '../../base/bytes.ts';
import type { HardState } from '../raft/types.ts';
import { claimsOf, type Damage, furtherPlace, laterHardState, mergeClaims } from './damage.ts';
import { EMPTY_STAND } from './logShape.ts';
import { isKeptAside, mend } from './mending.ts';
import { proveTail } from './provenTail.ts';
import { logCorrupt } from './refusals.ts';
import { type FoundLog, type LogReading, type LogSource, readSegments } from './segmentReader.ts';
import type { ChainEnd, Suspicion } from './types.ts';
import type { Watermark } from './watermark.ts';
import { readWatermark, WatermarkFile, type WatermarkReading } from './watermarkFile.ts';

/** A cut, then a beginning anew; one more than can be needed. */
const MENDINGS_MAX = 3;

/** A log that reads as whole, with what is to be thought of it. */
export interface OpenedLog {
  readonly log: FoundLog;
  /** Term and vote as the log or its watermark has them, whichever are later; the commit index is the log's. */
  readonly hardState: HardState;
  readonly suspicion: Suspicion | null;
  readonly watermark: WatermarkFile;
  /** The log was cut since that was written: no slot may go on naming what is gone. */
  readonly cut: boolean;
}

/**
 * Reads log and watermark, and judges them together.
 * - The log is whole and reaches the watermark: go on.
 * - There is no watermark, or none that can be read, and the log is whole and was never mended: go on; there will be one.
 * - The log is damaged, or ends before the watermark: it is SUSPECT. What its node has promised is not all there any
 *   more, so it must not vote nor be counted until a leader has given it everything anew (raft/suspicion.ts). The mark
 *   is made durable first; then what is unsound is kept aside, so that the log reads as whole the next time. The mark
 *   stays until it is taken away.
 * - The log is damaged, or was mended, and no watermark can be read: term and vote may be lost too, or the mark. Refused,
 *   and nothing is changed.
 * A log that differs from the watermark at the same record is another log. Refused.
 * @throws HoldfastError DATA_DIR_INVALID, LOG_CORRUPT, VERSION_UNSUPPORTED, DISK_FAILED
 */
export async function openLog(source: LogSource): Promise<OpenedLog> {
  const mark = await readWatermark(source);
  const known = mark.kind === 'sound' ? mark.watermark : null;
  const reading = await readSegments(source, known);
  const damage =
    known === null ? damageOf(reading) : (damageOf(reading) ?? shortfall(source, reading, known));
  if (damage === null) {
    if (mark.kind !== 'sound') await refuseMended(source, mark);
    return opened(source, wholeLog(reading), mark);
  }
  if (mark.kind !== 'sound') {
    throw logCorrupt(`${damage.reason}; and its watermark is ${mark.kind}, so term and vote may be lost too`);
  }
  return reopened(source, { damage, mark });
}

/** The watermark alone says whether a log that was mended is still suspect. */
async function refuseMended({ directory, files }: LogSource, { kind }: WatermarkReading): Promise<void> {
  const kept = (await files.list(directory)).find(isKeptAside);
  if (kept === undefined) return;
  throw logCorrupt(
    `${kept} tells that the log lost entries; its watermark is ${kind}, so it may lack them still`,
  );
}

function damageOf(reading: LogReading): Damage | null {
  return reading.kind === 'damaged' ? reading.damage : null;
}

function wholeLog(reading: LogReading): FoundLog {
  if (reading.kind === 'damaged') throw logCorrupt(reading.damage.reason);
  return reading.log;
}

/** What is missing at the end of a log that has no damage of its own. */
function shortfall(source: LogSource, reading: LogReading, watermark: Watermark): Damage | null {
  const { record, last, suspectUntil } = watermark;
  const { shape, segments, leftOver, nextRecord, end, lastAtRecord } = wholeLog(reading);
  let reason = `${source.directory}: the log ends at record ${nextRecord - 1}, but record ${record} was durable`;
  if (nextRecord > record) {
    // The watermark that named where this log begins was written after its first segment was: that tells.
    const isOurs = lastAtRecord === null ? leftOver.length === 0 : sameEnd(lastAtRecord, last);
    if (isOurs) return null;
    reason = `${source.directory}: record ${record} is not the one that the watermark names`;
    // But for a log that was begun anew when the mending was cut off.
    if (suspectUntil === null) throw logCorrupt(reason);
  }
  const sequence = segments.at(-1)?.sequence ?? 0;
  return { sequence, offset: end, reason, leftOver, claims: claimsOf(shape.stand) };
}

function sameEnd(one: ChainEnd, other: ChainEnd): boolean {
  return (
    one.index === other.index && one.term === other.term && asBuffer(one.hash).equals(asBuffer(other.hash))
  );
}

async function opened(source: LogSource, found: FoundLog, mark: WatermarkReading): Promise<OpenedLog> {
  const log = await proveTail(source, found, mark.kind === 'sound' ? mark.watermark : null);
  const { hardState, last } = log.shape.stand;
  if (mark.kind !== 'sound') {
    const firstSegment = log.segments[0]?.sequence ?? 0;
    const first = { record: log.nextRecord - 1, hardState, last, suspectUntil: null, firstSegment };
    const watermark = await WatermarkFile.create(source, first);
    return { log, hardState, suspicion: null, watermark, cut: false };
  }
  const { suspectUntil } = mark.watermark;
  const reason = 'the log was found damaged at an earlier start and has not been replicated anew since';
  return {
    log,
    hardState: laterHardState(hardState, mark.watermark.hardState),
    suspicion: suspectUntil === null ? null : { until: suspectUntil, reason },
    watermark: await WatermarkFile.open(source, mark.sequence),
    cut: false,
  };
}

interface Loss {
  readonly damage: Damage;
  readonly mark: Extract<WatermarkReading, { kind: 'sound' }>;
}

async function reopened(source: LogSource, { damage, mark }: Loss): Promise<OpenedLog> {
  const { record, firstSegment, suspectUntil, ...named } = mark.watermark;
  const claims = mergeClaims(named, damage.claims);
  const until = suspectUntil === null ? claims.last : furtherPlace(claims.last, suspectUntil);
  const watermark = await WatermarkFile.open(source, mark.sequence);
  const { hardState } = claims;
  const marked = { record, last: named.last, hardState, suspectUntil: until, firstSegment };
  await watermark.writeAll(marked);
  const stand = { ...EMPTY_STAND, hardState: { ...hardState, commit: 0 } };
  const { log, reason } = await mended(source, { damage, start: { stand, record } });
  const { commit } = log.shape.hardState;
  return {
    log,
    hardState: { ...laterHardState(log.shape.hardState, hardState), commit },
    suspicion: { until, reason },
    watermark,
    cut: true,
  };
}

/** What a cut leaves may be unsound in turn: without the record that raised its base, a log may lack its beginning. */
async function mended(
  source: LogSource,
  { damage, start }: { readonly damage: Damage; readonly start: Parameters<typeof mend>[2] },
): Promise<{ readonly log: FoundLog; readonly reason: string }> {
  const reasons: string[] = [];
  let reading: LogReading = { kind: 'damaged', damage };
  for (let time = 0; reading.kind === 'damaged' && time < MENDINGS_MAX; time += 1) {
    const { keptAside, removed } = await mend(source, reading.damage, start);
    reasons.push(reading.damage.reason);
    if (keptAside.length > 0) reasons.push(`kept aside: ${keptAside.join(', ')}`);
    if (removed.length > 0) reasons.push(`kept aside too long, removed: ${removed.join(', ')}`);
    reading = await readSegments(source);
  }
  return { log: wholeLog(reading), reason: reasons.join('; ') };
}
