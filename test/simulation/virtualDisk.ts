import { assert, present } from '../../src/base/assert.ts';
import type { SegmentFile, SegmentFiles } from '../../src/replication/wal/segmentFiles.ts';
import type { Chance } from './chance.ts';

const SECTOR_BYTES = 512;

/** How a disk answers: at once or later, well or not. */
export interface DiskDriver {
  /** Resolves when the operation has been done, by `perform`; never after a crash. */
  operation<T>(perform: () => T): Promise<T>;
  /** Whether the next write is to fail. */
  failsNow(): boolean;
  readonly chance: Chance;
  /** Whether a write that a crash interrupts may be there in part. */
  readonly tears: boolean;
}

interface Inode {
  bytes: Buffer;
}

interface Write {
  readonly inode: Inode;
  readonly bytes: Buffer;
  readonly position: number;
}

type NameChange = (names: Map<string, Inode>) => void;

class DiskError extends Error {
  readonly code = 'EIO';
}

/**
 * A disk that forgets in a crash what was not made durable. A write under way is then there wholly, not at all, or in
 * sectors of 512 bytes, one of them perhaps garbage; changes of names that no sync of the directory followed are kept
 * up to some point in their order.
 */
export class VirtualDisk implements SegmentFiles {
  readonly #driver: DiskDriver;
  #names = new Map<string, Inode>();
  #durableNames = new Map<string, Inode>();
  #nameChanges: NameChange[] = [];
  readonly #writes = new Set<Write>();

  constructor(driver: DiskDriver) {
    this.#driver = driver;
  }

  makeDirectory(): Promise<void> {
    return this.#driver.operation(() => undefined);
  }

  list(directory: string): Promise<readonly string[]> {
    return this.#driver.operation(() => {
      const prefix = `${directory}/`;
      return [...this.#names.keys()]
        .filter((path) => path.startsWith(prefix))
        .map((path) => path.slice(prefix.length))
        .toSorted();
    });
  }

  read(path: string): Promise<Buffer> {
    return this.#driver.operation(() => Buffer.from(this.#inode(path).bytes));
  }

  open(path: string, how: 'create' | 'existing'): Promise<SegmentFile> {
    return this.#driver.operation(() => {
      if (how === 'create') {
        if (this.#names.has(path)) throw Object.assign(new Error(`${path} exists`), { code: 'EEXIST' });
        const inode: Inode = { bytes: Buffer.alloc(0) };
        this.#change((names) => names.set(path, inode));
      }
      return this.#file(this.#inode(path));
    });
  }

  rename({ from, to }: { readonly from: string; readonly to: string }): Promise<void> {
    return this.#driver.operation(() => {
      this.#inode(from);
      this.#change((names) => {
        const inode = names.get(from);
        if (inode !== undefined) names.set(to, inode);
        names.delete(from);
      });
    });
  }

  remove(path: string): Promise<void> {
    return this.#driver.operation(() => {
      this.#inode(path);
      this.#change((names) => names.delete(path));
    });
  }

  syncDirectory(): Promise<void> {
    return this.#driver.operation(() => {
      this.#durableNames = new Map(this.#names);
      this.#nameChanges = [];
    });
  }

  /** As if nothing had ever been written. */
  wipe(): void {
    this.#names.clear();
    this.#durableNames.clear();
    this.#nameChanges = [];
  }

  /** The power goes. */
  crash(): void {
    const { chance } = this.#driver;
    for (const write of this.#writes) this.#interrupt(write);
    this.#writes.clear();
    const kept = chance.integer(0, this.#nameChanges.length);
    for (const change of this.#nameChanges.slice(0, kept)) change(this.#durableNames);
    this.#nameChanges = [];
    this.#names = new Map(this.#durableNames);
  }

  /** The files whose names end so, with their bytes as they lie there now, oldest name first. For damage. */
  files(suffix: string): { readonly path: string; readonly bytes: Buffer }[] {
    return [...this.#names]
      .filter(([path]) => path.endsWith(suffix))
      .toSorted(([one], [other]) => (one < other ? -1 : 1))
      .map(([path, inode]) => ({ path, bytes: inode.bytes }));
  }

  /** The file ends here now. For damage. */
  truncate(path: string, bytes: number): void {
    const inode = this.#inode(path);
    inode.bytes = Buffer.from(inode.bytes.subarray(0, bytes));
  }

  #inode(path: string): Inode {
    const inode = this.#names.get(path);
    if (inode === undefined) throw Object.assign(new Error(`${path} is not there`), { code: 'ENOENT' });
    return inode;
  }

  #change(change: NameChange): void {
    change(this.#names);
    this.#nameChanges.push(change);
  }

  #file(inode: Inode): SegmentFile {
    return {
      writeDurably: (bytes, position) => this.#write({ inode, bytes: Buffer.from(bytes), position }),
      sync: () => this.#driver.operation(() => undefined),
      close: () => this.#driver.operation(() => undefined),
    };
  }

  #write(write: Write): Promise<void> {
    this.#writes.add(write);
    return this.#driver.operation(() => {
      assert(this.#writes.delete(write), 'a write ends once');
      if (this.#driver.failsNow()) {
        this.#interrupt(write);
        throw new DiskError('EIO: i/o error, write');
      }
      put(write.inode, write.bytes, write.position);
    });
  }

  /** What is left of a write that nobody saw finish. */
  #interrupt({ inode, bytes, position }: Write): void {
    const { chance, tears } = this.#driver;
    if (!tears) {
      if (chance.happens(0.5)) put(inode, bytes, position);
      return;
    }
    const garbled = chance.happens(0.3) ? chance.integer(0, Math.floor(bytes.length / SECTOR_BYTES)) : -1;
    const prefixOnly = chance.happens(0.5);
    const sectors = Math.ceil((position + bytes.length) / SECTOR_BYTES) - Math.floor(position / SECTOR_BYTES);
    const prefix = chance.integer(0, sectors);
    const first = Math.floor(position / SECTOR_BYTES) * SECTOR_BYTES;
    for (let sector = 0; sector < sectors; sector += 1) {
      const from = Math.max(position, first + sector * SECTOR_BYTES);
      const to = Math.min(position + bytes.length, first + (sector + 1) * SECTOR_BYTES);
      const piece = bytes.subarray(from - position, to - position);
      if (sector === garbled) put(inode, chance.source.bytes(piece.length), from);
      else if (prefixOnly ? sector < prefix : chance.happens(0.5)) put(inode, piece, from);
    }
  }
}

function put(inode: Inode, bytes: Buffer, position: number): void {
  const end = position + bytes.length;
  if (end > inode.bytes.length) {
    const longer = Buffer.alloc(end);
    inode.bytes.copy(longer);
    inode.bytes = longer;
  }
  present(inode, 'file').bytes.set(bytes, position);
}
