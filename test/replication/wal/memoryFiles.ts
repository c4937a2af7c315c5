import type { SegmentFile, SegmentFiles } from '../../../src/replication/wal/segmentFiles.ts';

/** Files that cost nothing, so that a log can be damaged at every byte of it. What is written is durable at once. */
export class MemoryFiles implements SegmentFiles {
  readonly #files = new Map<string, Buffer>();

  makeDirectory(): Promise<void> {
    return Promise.resolve();
  }

  list(directory: string): Promise<string[]> {
    const prefix = `${directory}/`;
    const inside = [...this.#files.keys()].filter((path) => path.startsWith(prefix));
    return Promise.resolve(inside.map((path) => path.slice(prefix.length)).toSorted());
  }

  async read(path: string): Promise<Buffer> {
    return Promise.resolve(Buffer.from(this.#at(path)));
  }

  async open(path: string, how: 'create' | 'existing'): Promise<SegmentFile> {
    if (how === 'create') {
      if (this.#files.has(path)) throw Object.assign(new Error(`${path} exists`), { code: 'EEXIST' });
      this.#files.set(path, Buffer.alloc(0));
    }
    const file = { bytes: this.#at(path) };
    return Promise.resolve({
      writeDurably: (bytes: Uint8Array, position: number) => {
        const holders = [...this.#files].filter(([, held]) => held === file.bytes).map(([name]) => name);
        if (position + bytes.length > file.bytes.length) {
          file.bytes = Buffer.concat([file.bytes], position + bytes.length);
        }
        file.bytes.set(bytes, position);
        for (const name of holders) this.#files.set(name, file.bytes);
        return Promise.resolve();
      },
      sync: () => Promise.resolve(),
      close: () => Promise.resolve(),
    });
  }

  async rename({ from, to }: { from: string; to: string }): Promise<void> {
    this.#files.set(to, this.#at(from));
    this.#files.delete(from);
    return Promise.resolve();
  }

  async remove(path: string): Promise<void> {
    this.#at(path);
    this.#files.delete(path);
    return Promise.resolve();
  }

  syncDirectory(): Promise<void> {
    return Promise.resolve();
  }

  /** What a test puts there. */
  put(path: string, bytes: Buffer): void {
    this.#files.set(path, Buffer.from(bytes));
  }

  /** All files as they are now; a later `restore` brings exactly them back. */
  copy(): ReadonlyMap<string, Buffer> {
    return new Map([...this.#files].map(([path, bytes]) => [path, Buffer.from(bytes)]));
  }

  restore(copy: ReadonlyMap<string, Buffer>): void {
    this.#files.clear();
    for (const [path, bytes] of copy) this.put(path, bytes);
  }

  #at(path: string): Buffer {
    const bytes = this.#files.get(path);
    if (bytes === undefined) throw Object.assign(new Error(`${path} is not there`), { code: 'ENOENT' });
    return bytes;
  }
}
