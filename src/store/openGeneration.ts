import { HoldfastError } from '../base/errors.ts';
import type { HeadRow, StoredConfiguration } from '../proto/storage.ts';
import { databaseFailure, type OpenDatabase, openLevelDatabase } from './database.ts';
import { type Generation, loadGeneration } from './generation.ts';
import { RowBytes } from './rowBytes.ts';
import { RowSealer } from './rowSealer.ts';
import { type SealedRows, writeRows } from './snapshot.ts';
import { State } from './state.ts';
import { type Generations, StateFolder } from './stateFolder.ts';
import type { StoreOptions } from './storeOptions.ts';
import type { AppliedPlace } from './types.ts';
import { writeHead } from './writer.ts';

/** Remembers the first fatal error and reports only that. */
export class FailureLatch {
  readonly #report: (error: HoldfastError) => void;
  error: HoldfastError | null = null;

  constructor(report: (error: HoldfastError) => void) {
    this.#report = report;
  }

  fail(error: HoldfastError): void {
    if (this.error !== null) return;
    this.error = error;
    this.#report(error);
  }
}

export interface GenerationPlace {
  readonly folder: Generations;
  readonly number: number;
  readonly create: boolean;
  readonly failure: FailureLatch;
  /** What a new generation is filled with. */
  readonly rows?: SealedRows;
}

/** Opens a generation, or makes and fills a new one, and loads it. @throws HoldfastError as Store.open */
export async function openGeneration(options: StoreOptions, place: GenerationPlace): Promise<Generation> {
  const { folder, number, create, failure, rows } = place;
  const database = await opener(options)({ path: folder.generationPath(number), create });
  try {
    if (rows !== undefined) await writeRows(database, { rows, sealer: new RowSealer(options.sealer) });
    return await loadGeneration({
      number,
      database,
      sealer: options.sealer,
      onDurable: (head) => options.onDurable(placeOf(head)),
      onFatal: (error) => failure.fail(error),
      ...(options.scheduler === undefined ? {} : { scheduler: options.scheduler }),
      ...(options.history === undefined ? {} : { bounds: options.history }),
      ...(options.cacheBytesMax === undefined ? {} : { cacheBytesMax: options.cacheBytesMax }),
    });
  } catch (thrown) {
    await database.close();
    if (create) await folder.removeAllBut(number - 1);
    throw databaseFailure(thrown);
  }
}

export function generationsOf({ generations, directory }: StoreOptions): Generations {
  return generations ?? new StateFolder(directory);
}

/** A new generation with nothing in it but a head at index 0, durable. @throws HoldfastError DISK_FAILED */
export async function writeEmptyState(options: StoreOptions, path: string): Promise<void> {
  const database = await opener(options)({ path, create: true });
  const sealer = new RowSealer(options.sealer);
  const rowBytes = new RowBytes({ database, sealer, onFatal: options.onFatal });
  try {
    const writes = database.batch();
    writeHead(writes, { head: new State({ rowBytes }).head(), sealer });
    await writes.write();
  } catch (thrown) {
    throw databaseFailure(thrown);
  } finally {
    await database.close();
  }
}

function opener(options: StoreOptions): OpenDatabase {
  return options.openDatabase ?? openLevelDatabase;
}

export function placeOf({ index, term, hash }: HeadRow): AppliedPlace {
  return { index, term, hash };
}

/** What came with rows from elsewhere: unsealed, so it is believed only when their sealed head says the same. */
export interface ExpectedState extends AppliedPlace {
  readonly configuration: StoredConfiguration;
}

/** @throws HoldfastError STATE_CORRUPT */
export function assertExpected(head: HeadRow, expected: ExpectedState): void {
  const same = head.index === expected.index && head.term === expected.term;
  if (!same || Buffer.compare(head.hash, expected.hash) !== 0) {
    throw new HoldfastError(
      'STATE_CORRUPT',
      `the rows are of index ${head.index}, term ${head.term}, not of index ${expected.index}, term ${expected.term}`,
    );
  }
  if (configurationText(head.configuration) !== configurationText(expected.configuration)) {
    throw new HoldfastError('STATE_CORRUPT', 'the rows are of another configuration than they came with');
  }
}

function configurationText(configuration: HeadRow['configuration']): string {
  if (configuration === null || configuration === undefined) return configurationText(NO_ONE);
  const { voters, votersOutgoing, learners, learnersNext, autoLeave } = configuration;
  return JSON.stringify([voters, votersOutgoing, learners, learnersNext, autoLeave]);
}

const NO_ONE: StoredConfiguration = {
  voters: [],
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
};
