import { type Command, Option } from 'commander';
import {
  CSV_HEAD,
  csvLine,
  EXPORT_VERSION,
  type ExportEnd,
  type ExportHead,
  exportFields,
  hexOf,
} from '../../audit/exportFormat.ts';
import { systemClock } from '../../base/clock.ts';
import type { AuditEntry, AuditListOptions, HoldfastClient } from '../../client/index.ts';
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
        const { clusterId } = await client.cluster.status();
        const writer =
          options.format === 'csv' ? new CsvWriter(output) : new JsonWriter(output, { clusterId, selection });
        for await (const record of client.audit.records(selection)) {
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

interface Writer {
  record(record: AuditEntry): void;
  end(): void;
}

class CsvWriter implements Writer {
  readonly #output: Output;

  constructor(output: Output) {
    this.#output = output;
    output.line(CSV_HEAD);
  }

  record(record: AuditEntry): void {
    this.#output.line(csvLine(record));
  }

  end(): void {}
}

class JsonWriter implements Writer {
  readonly #output: Output;
  readonly #head: Omit<ExportHead, 'firstSequence' | 'previousHash'>;
  #end: ExportEnd | null = null;

  constructor(output: Output, { clusterId, selection }: { clusterId: string; selection: AuditListOptions }) {
    this.#output = output;
    const exportedAt = new Date(systemClock.wallMs()).toISOString();
    this.#head = { holdfastAudit: EXPORT_VERSION, clusterId, filtered: isFiltered(selection), exportedAt };
  }

  record(record: AuditEntry): void {
    const { sequence, previousHash, hash } = record;
    if (this.#end === null) this.#begin({ firstSequence: sequence, previousHash: hexOf(previousHash) });
    this.#output.line(JSON.stringify(exportFields(record)));
    this.#end = { records: (this.#end?.records ?? 0) + 1, lastSequence: sequence, lastHash: hexOf(hash) };
  }

  end(): void {
    if (this.#end === null) this.#begin({ firstSequence: 0, previousHash: '' });
    this.#output.line(JSON.stringify(this.#end ?? { records: 0, lastSequence: 0, lastHash: '' }));
  }

  #begin(first: Pick<ExportHead, 'firstSequence' | 'previousHash'>): void {
    const { holdfastAudit, clusterId, filtered, exportedAt } = this.#head;
    this.#output.line(JSON.stringify({ holdfastAudit, clusterId, ...first, filtered, exportedAt }));
  }
}
