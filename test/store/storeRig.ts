import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ChainedRecord } from '../../src/audit/record/chain.ts';
import { ManualClock } from '../../src/base/clock.ts';
import type { HoldfastError } from '../../src/base/errors.ts';
import { newStoreId } from '../../src/base/ids.ts';
import { SeededRandom } from '../../src/base/random.ts';
import { createKeyring, type EncryptionToggle } from '../../src/envelope/keyring.ts';
import { Sealer } from '../../src/envelope/sealer.ts';
import type {
  Command,
  Operation,
  Outcome,
  Principal,
  RequestId,
  Transaction,
} from '../../src/proto/storage.ts';
import { Store } from '../../src/store/store.ts';
import type { StoreOptions } from '../../src/store/storeOptions.ts';
import type { AppliedEntry, AppliedPlace } from '../../src/store/types.ts';
import { JWT_FINGERPRINT } from '../envelope/fixtures.ts';

export const CLIENT: Principal = { kind: 'client', name: 'ada', address: '127.0.0.1:1' };
export const NODE: Principal = { kind: 'node', name: '00000000000000aa', address: '127.0.0.1:2' };

export function bytes(text: string): Buffer {
  return Buffer.from(text, 'latin1');
}

export function put(key: string, value = '', previous = false): Operation {
  return { put: { key: bytes(key), value: Buffer.from(value), previous } };
}

export function remove(start: string, end = `${start}\0`, previous = false): Operation {
  return { delete: { range: { start: bytes(start), end: bytes(end) }, previous } };
}

export function read(start: string, end = `${start}\0`): Operation {
  const range = { start: bytes(start), end: bytes(end) };
  return { range: { range, limit: 0, keysOnly: false, countOnly: false } };
}

export function transaction(...success: Operation[]): Transaction {
  return { compares: [], success, failure: [] };
}

type Body = Omit<Partial<Command>, 'origin' | 'sequence'>;

export function command(body: Body, principal: Principal = CLIENT): Command {
  return { origin: '', sequence: 0, ...body, principal };
}

export function write(operations: readonly Operation[], request: RequestId | null = null): Command {
  return command({ transaction: transaction(...operations), request });
}

export function placeAt(index: number): AppliedPlace {
  return { index, term: 1, hash: Buffer.alloc(32, index % 251) };
}

export function commandsAt(index: number, timeMs: number, commands: readonly Command[]): AppliedEntry {
  return { kind: 'commands', place: placeAt(index), batch: { timeMs, commands } };
}

export function sealerOf(encryption: EncryptionToggle = 'on', seed = 7): Sealer {
  const random = new SeededRandom(seed);
  const storeId = newStoreId(random);
  const keyring = createKeyring({
    storeId,
    encryption,
    jwtSecretFingerprint: JWT_FINGERPRINT,
    random,
    clock: new ManualClock(),
  });
  return new Sealer({ keyring, storeId, random });
}

/** A store in a directory of its own, driven by hand. */
export class StoreRig {
  readonly directory: string;
  readonly sealer: Sealer;
  readonly fatal: HoldfastError[] = [];
  readonly durable: AppliedPlace[] = [];
  readonly #options: Partial<StoreOptions>;
  timeMs = 1_700_000_000_000;
  store!: Store;

  private constructor(directory: string, options: Partial<StoreOptions>) {
    this.directory = directory;
    this.sealer = options.sealer ?? sealerOf();
    this.#options = options;
  }

  static async create(options: Partial<StoreOptions> = {}): Promise<StoreRig> {
    const rig = new StoreRig(await mkdtemp(join(tmpdir(), 'holdfast-store-')), options);
    rig.store = await Store.create(rig.options());
    return rig;
  }

  options(directory = this.directory): StoreOptions {
    return {
      directory,
      sealer: this.sealer,
      onDurable: (place) => this.durable.push(place),
      onFatal: (error) => this.fatal.push(error),
      ...this.#options,
    };
  }

  apply(...commands: Command[]): readonly Outcome[] {
    return this.store.apply(commandsAt(this.store.applied.index + 1, this.timeMs, commands)).outcomes;
  }

  /** One transaction without conditions; its outcome. */
  run(...operations: Operation[]): Outcome {
    return this.apply(write(operations))[0] as Outcome;
  }

  /** The audit records from a sequence and a time on. */
  async auditRecords(sequence = 0, timeMs = 0): Promise<readonly ChainedRecord[]> {
    await this.store.flushed();
    const found: ChainedRecord[] = [];
    for await (const portion of this.store.auditRecords({ sequence, timeMs })) found.push(...portion);
    return found;
  }

  /** What they say, in short. */
  async deeds(sequence = 0): Promise<readonly string[]> {
    return (await this.auditRecords(sequence)).map(({ action, resource, resourceEnd, result, count }) => {
      const to = resourceEnd.length === 0 ? '' : `..${Buffer.from(resourceEnd).toString('latin1')}`;
      const times = count === 1 ? '' : ` x${count}`;
      return `${action} ${Buffer.from(resource).toString('latin1')}${to}${times}${result === 'OK' ? '' : ` ${result}`}`;
    });
  }

  async reopen(): Promise<void> {
    await this.store.close();
    this.store = await Store.open(this.options());
  }

  async destroy(): Promise<void> {
    await this.store.close().catch(() => undefined);
    await rm(this.directory, { recursive: true, force: true });
  }
}

export function codeOf(outcome: Outcome | undefined): string {
  return outcome?.failure?.code ?? 'none';
}
