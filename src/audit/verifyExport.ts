/** Whether an export of the audit is as it was written: by itself, and against a head that was noted earlier. */
import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { KeptCheckpoint } from '../proto/audit.ts';
import { exportedRecord } from './exportedRecord.ts';
import { EXPORT_VERSION, type ExportEnd, type ExportHead, hexOf, isExportLine } from './exportFormat.ts';
import { recordHash } from './record/chain.ts';
import { authorityOf, checkpointOf, isSignedByItsAuthority } from './signedCheckpoint.ts';

/** A record that was noted: its sequence and its hash in hex. */
export interface NotedHead {
  readonly sequence: number;
  readonly hash: string;
}

export interface VerifiedExport {
  readonly clusterId: string;
  readonly records: number;
  /** 0: there are none. */
  readonly firstSequence: number;
  readonly lastSequence: number;
  readonly lastHash: string;
  readonly filtered: boolean;
  /** It begins with the first record of the cluster, behind a signed checkpoint, or later on purpose. */
  readonly begins: 'first' | 'checkpoint' | 'later';
  /** Fingerprint of the CA that has signed the checkpoint; null: there is none. */
  readonly caFingerprint: string | null;
  /** A head was noted, and it is one of the records, or the signed checkpoint that they go on from. */
  readonly isHeadFound: boolean;
}

/**
 * Goes over the lines of an export once, in constant memory.
 * @param authority fingerprint of the CA whose checkpoint is taken; null: any, to be compared by a person
 * @throws HoldfastError AUDIT_TAMPERED naming the first line that is wrong, and how; CERTIFICATE_INVALID
 */
export async function verifyExport(
  lines: AsyncIterable<string>,
  noted: NotedHead | null,
  authority: string | null = null,
): Promise<VerifiedExport> {
  const check = new ExportCheck(noted, authority);
  for await (const line of lines) check.line(line);
  return check.end();
}

class ExportCheck {
  readonly #noted: NotedHead | null;
  readonly #authority: string | null;
  #lineNumber = 0;
  #head: ExportHead | null = null;
  #end: ExportEnd | null = null;
  #records = 0;
  #last: NotedHead = { sequence: 0, hash: '' };
  #isHeadFound = false;
  #signedBy: string | null = null;

  constructor(noted: NotedHead | null, authority: string | null) {
    this.#noted = noted;
    this.#authority = authority;
  }

  line(text: string): void {
    this.#lineNumber += 1;
    const json = this.#parsed(text);
    if (this.#end !== null) throw this.#wrong('there is more behind the last line');
    if (this.#head === null) this.#begin(json);
    else if ('records' in json) this.#finish(json);
    else this.#record(this.#head, { json, text });
  }

  end(): VerifiedExport {
    if (this.#head === null) throw this.#wrong('the export is empty');
    if (this.#end === null) throw this.#wrong('the export is cut off: its last line is missing');
    const { clusterId, firstSequence, filtered } = this.#head;
    this.#requireNoted(this.#head);
    const { sequence: lastSequence, hash: lastHash } = this.#last;
    const isHeadFound = this.#isHeadFound;
    const caFingerprint = this.#signedBy;
    return {
      clusterId,
      records: this.#records,
      firstSequence,
      lastSequence,
      lastHash,
      filtered,
      begins: firstSequence <= 1 ? 'first' : caFingerprint === null ? 'later' : 'checkpoint',
      caFingerprint,
      isHeadFound,
    };
  }

  /**
   * Nothing covers the first line, so what it says is no excuse: with a head, the file has to hold the noted record and everything from
   * its own first record on. That it goes on from that record says nothing: whoever knows a head can make up what comes after it.
   */
  #requireNoted({ filtered, firstSequence }: ExportHead): void {
    if (this.#noted === null) return;
    if (filtered)
      throw this.#wrong('records were left out of the export on purpose: it cannot be held against a head');
    const what = `the noted record ${this.#noted.sequence} is not in the export`;
    if (this.#records === 0) throw this.#wrong(`${what}, which has no records`);
    if (this.#isHeadFound) return;
    if (this.#noted.sequence < firstSequence)
      throw this.#wrong(`${what}, which begins after it, with record ${firstSequence}`);
    throw this.#wrong(`${what}, which ends at record ${this.#last.sequence}`);
  }

  #parsed(text: string): Record<string, unknown> {
    try {
      const json: unknown = JSON.parse(text);
      if (typeof json === 'object' && json !== null && !Array.isArray(json))
        return json as Record<string, unknown>;
    } catch {
      throw this.#wrong('it is not JSON');
    }
    throw this.#wrong('it is no JSON object');
  }

  #begin(json: Record<string, unknown>): void {
    const { holdfastAudit, clusterId, firstSequence, previousHash, filtered, exportedAt } = json;
    const isHead =
      holdfastAudit === EXPORT_VERSION &&
      typeof clusterId === 'string' &&
      typeof firstSequence === 'number' &&
      typeof previousHash === 'string' &&
      typeof filtered === 'boolean' &&
      typeof exportedAt === 'string';
    if (!isHead) throw this.#wrong('it is not the first line of an export of this version');
    const continues = json['continues'] === true;
    this.#head = { holdfastAudit, clusterId, firstSequence, previousHash, filtered, continues, exportedAt };
    this.#last = { sequence: Math.max(firstSequence - 1, 0), hash: previousHash };
    if (json['checkpoint'] !== undefined) this.#checkpoint(checkpointOf(json['checkpoint']));
    else this.#requireBeginning(this.#head);
  }

  #checkpoint(checkpoint: KeptCheckpoint | null): void {
    if (checkpoint === null) throw this.#wrong('its checkpoint is none with all its fields');
    const { sequence, hash } = this.#last;
    if (checkpoint.sequence !== sequence || hexOf(checkpoint.hash) !== hash)
      throw this.#wrong(`record ${sequence + 1} does not go on from the checkpoint`);
    this.#signedBy = authorityOf(checkpoint, this.#authority);
    if (!isSignedByItsAuthority(checkpoint))
      throw this.#wrong(`the CA ${this.#signedBy} has not signed the checkpoint`);
    this.#compareNoted();
  }

  /** Without a checkpoint: that the beginning was cut off is found, unless it says of itself that it begins later. */
  #requireBeginning({ firstSequence, filtered, continues }: ExportHead): void {
    if (firstSequence <= 1) return;
    if (this.#authority === null && (filtered || continues)) return;
    throw this.#wrong(`it begins with record ${firstSequence}, without a checkpoint of what came before`);
  }

  #finish({ records, lastSequence, lastHash }: Record<string, unknown>): void {
    const isSame =
      records === this.#records && lastSequence === this.#last.sequence && lastHash === this.#last.hash;
    if (!isSame) throw this.#wrong('it says that other records come before it');
    this.#end = { records: this.#records, lastSequence: this.#last.sequence, lastHash: this.#last.hash };
  }

  #record(
    { filtered }: ExportHead,
    { json, text }: { readonly json: Record<string, unknown>; readonly text: string },
  ): void {
    const record = exportedRecord(json);
    if (record === null) throw this.#wrong('it is no record with all its fields');
    // JSON and base64 have many forms for one content.
    if (!isExportLine(text.replace(/\r$/, ''), record))
      throw this.#wrong('it is not written as an export writes a record');
    const { sequence, previousHash, hash } = record;
    const isFirst = this.#records === 0;
    if (!filtered && sequence !== this.#last.sequence + 1)
      throw this.#wrong(
        `record ${this.#last.sequence + 1} is missing: record ${sequence} comes in its place`,
      );
    if (filtered && !isFirst && sequence <= this.#last.sequence)
      throw this.#wrong('the records are out of order');
    const isNext = sequence === this.#last.sequence + 1;
    if (isNext && hexOf(previousHash) !== this.#last.hash)
      throw this.#wrong(`record ${sequence} does not follow the one before it`);
    if (!recordHash(record, record).equals(hash)) throw this.#wrong(`record ${sequence} was changed`);
    this.#records += 1;
    this.#last = { sequence, hash: hexOf(hash) };
    this.#compareNoted();
  }

  #compareNoted(): void {
    if (this.#noted?.sequence !== this.#last.sequence) return;
    if (this.#noted.hash !== this.#last.hash)
      throw this.#wrong(`record ${this.#noted.sequence} is not the one that was noted`);
    this.#isHeadFound = true;
  }

  #wrong(what: string): HoldfastError {
    const where = this.#lineNumber === 0 ? '' : `line ${this.#lineNumber}: `;
    return new HoldfastError('AUDIT_TAMPERED', `${where}${what}`, {
      hint: 'export the audit again from the cluster, and compare',
    });
  }
}

/**
 * The lines of a file, without their ends.
 * @throws HoldfastError AUDIT_TAMPERED for a line that is longer than any record, before it is held whole
 */
export async function* linesOf(chunks: AsyncIterable<Buffer>): AsyncGenerator<string> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of chunks) {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let start = 0;
    for (let end = rest.indexOf(LINE_END); end !== -1; end = rest.indexOf(LINE_END, start)) {
      yield rest.toString('utf8', start, end);
      start = end + 1;
    }
    rest = rest.subarray(start);
    if (rest.length <= LIMITS.auditLineBytesMax) continue;
    throw new HoldfastError('AUDIT_TAMPERED', 'a line is longer than any record', {
      hint: 'name a file that holdfast audit export has written',
    });
  }
  if (rest.length > 0) yield rest.toString('utf8');
}

const LINE_END = 0x0a;
