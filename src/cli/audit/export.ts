import { type Command, Option } from 'commander';
import {
  CSV_HEAD,
  csvCheckpoint,
  csvLine,
  EXPORT_VERSION,
  type ExportEnd,
  type ExportHead,
  exportLine,
  hexOf,
} from '../../audit/exportFormat.ts';
import { exportedCheckpoint } from '../../audit/signedCheckpoint.ts';
import { systemClock } from '../../base/clock.ts';
import { HoldfastError } from '../../base/errors.ts';
import type { AuditEntry, AuditHeadResponse, AuditListOptions, HoldfastClient } from '../../client/index.ts';
import { type Invocation, interruption, outputOf, withClient } from '../invocation.ts';
import type { Output } from '../output.ts';
import { addSelection, isFiltered, type SelectionOptions, selectionOf } from './selection.ts';

interface ExportOptions extends SelectionOptions {
  readonly format: 'jsonl' | 'csv';
}

export function addExportCommand(audit: Command, invocation: Invocation): void {
  addSelection(audit.command('export'))
    .description('the records as JSON lines, which holdfast audit verify checks, or as CSV')
    .addOption(
      new Option('--format <format>', 'how they are written').choices(['jsonl', 'csv']).default('jsonl'),
    )
    .action(async (options: ExportOptions, command: Command) => {
      const selection = selectionOf(options);
      const output = outputOf(invocation, command);
      const run = async (client: HoldfastClient): Promise<void> => {
        const beginning = { checkpoint: (await client.audit.head()).checkpoint, selection };
        const writer =
          options.format === 'csv'
            ? new CsvWriter(output, beginning)
            : new JsonWriter(output, { clusterId: (await client.cluster.status()).clusterId, ...beginning });
        for await (const record of recordsOf(client, selection)) {
          if (invocation.interrupted.aborted) throw interruption();
          writer.record(record);
          await output.drained();
          if (record.sequence % PROGRESS_EVERY === 0) output.progress(`record ${record.sequence}`);
        }
        writer.end();
        output.progressDone();
      };
      await withClient(invocation, command, run, 'leave');
    });
}

const PROGRESS_EVERY = 1_000;

/** @throws HoldfastError COMPACTED when records go that were still to come */
async function* recordsOf(client: HoldfastClient, selection: AuditListOptions): AsyncGenerator<AuditEntry> {
  try {
    yield* client.audit.records(selection);
  } catch (thrown) {
    if (!(thrown instanceof HoldfastError) || thrown.code !== 'COMPACTED') throw thrown;
    const { message, field = 'from_sequence' } = thrown;
    throw new HoldfastError('COMPACTED', message, { field, hint: EXPORT_AGAIN, cause: thrown });
  }
}

const EXPORT_AGAIN = 'export again: what has been written so far is no whole export';

interface Writer {
  record(record: AuditEntry): void;
  end(): void;
}

interface Beginning {
  readonly checkpoint: AuditHeadResponse['checkpoint'];
  readonly selection: AuditListOptions;
}

/**
 * What the first record goes on from; null: it is the first of the cluster, or what came before was not asked for.
 * @throws HoldfastError COMPACTED
 */
function checkpointBefore({ sequence }: AuditEntry, { checkpoint, selection }: Beginning): Checkpoint | null {
  if (checkpoint?.sequence === sequence - 1) return checkpoint;
  if (sequence === 1 || isFiltered(selection) || selection.sinceMs !== undefined) return null;
  throw new HoldfastError('COMPACTED', `the records before ${sequence} have gone since the export began`, {
    field: 'from_sequence',
    hint: EXPORT_AGAIN,
  });
}

type Checkpoint = NonNullable<AuditHeadResponse['checkpoint']>;

class CsvWriter implements Writer {
  readonly #output: Output;
  readonly #beginning: Beginning;
  #hasBegun = false;

  constructor(output: Output, beginning: Beginning) {
    this.#output = output;
    this.#beginning = beginning;
  }

  record(record: AuditEntry): void {
    if (!this.#hasBegun) this.#begin(checkpointBefore(record, this.#beginning));
    this.#output.line(csvLine(record));
  }

  end(): void {
    if (!this.#hasBegun) this.#begin(null);
  }

  #begin(checkpoint: Checkpoint | null): void {
    if (checkpoint !== null) this.#output.line(csvCheckpoint(checkpoint));
    this.#output.line(CSV_HEAD);
    this.#hasBegun = true;
  }
}

class JsonWriter implements Writer {
  readonly #output: Output;
  readonly #beginning: Beginning;
  readonly #head: Pick<ExportHead, 'holdfastAudit' | 'clusterId' | 'filtered' | 'exportedAt'>;
  #end: ExportEnd | null = null;

  constructor(output: Output, { clusterId, ...beginning }: { readonly clusterId: string } & Beginning) {
    this.#output = output;
    this.#beginning = beginning;
    const exportedAt = new Date(systemClock.wallMs()).toISOString();
    const filtered = isFiltered(beginning.selection);
    this.#head = { holdfastAudit: EXPORT_VERSION, clusterId, filtered, exportedAt };
  }

  record(record: AuditEntry): void {
    const { sequence, hash } = record;
    if (this.#end === null) this.#begin(record);
    this.#output.line(exportLine(record));
    this.#end = { records: (this.#end?.records ?? 0) + 1, lastSequence: sequence, lastHash: hexOf(hash) };
  }

  end(): void {
    if (this.#end === null) this.#line({ firstSequence: 0, previousHash: '', continues: false });
    this.#output.line(JSON.stringify(this.#end ?? { records: 0, lastSequence: 0, lastHash: '' }));
  }

  #begin(first: AuditEntry): void {
    const { sequence: firstSequence, previousHash } = first;
    const checkpoint = checkpointBefore(first, this.#beginning);
    this.#line({
      firstSequence,
      previousHash: hexOf(previousHash),
      continues: firstSequence > 1 && checkpoint === null,
      ...(checkpoint === null ? {} : { checkpoint: exportedCheckpoint(checkpoint) }),
    });
  }

  #line({
    firstSequence,
    previousHash,
    continues,
    ...signed
  }: Pick<ExportHead, 'firstSequence' | 'previousHash' | 'continues' | 'checkpoint'>): void {
    const { holdfastAudit, clusterId, filtered, exportedAt } = this.#head;
    const head: ExportHead = {
      holdfastAudit,
      clusterId,
      firstSequence,
      previousHash,
      filtered,
      continues,
      exportedAt,
      ...signed,
    };
    this.#output.line(JSON.stringify(head));
  }
}
