import { close, constants, fdatasync, fsync, open, write } from 'node:fs';
import { mkdir, readdir, readFile, rename, unlink } from 'node:fs/promises';
import { platform } from 'node:os';
import { syncDirectory } from '../../base/durableFile.ts';

/**
 * On Linux a write on such a descriptor returns when it is as durable as fdatasync would make it: one trip to the
 * thread pool and one turn of the event loop less. Elsewhere it may stop at the cache of the drive.
 */
const WRITE_THROUGH = platform() === 'linux' ? constants.O_DSYNC : 0;

/** An open segment. Any rejection is final: nothing is ever tried again on it. */
export interface SegmentFile {
  /** Writes all of `bytes` at `position` and makes them durable, as one write and one fdatasync would. */
  writeDurably(bytes: Uint8Array, position: number): Promise<void>;
  /** fsync: contents and size. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** The file operations of the log; tests put failures in between. */
export interface SegmentFiles {
  /** Creates a directory whose parent exists. No error when it is there already. */
  makeDirectory(path: string): Promise<void>;
  list(directory: string): Promise<readonly string[]>;
  read(path: string): Promise<Buffer>;
  /** `create`: the file must not exist; else it must. */
  open(path: string, how: 'create' | 'existing'): Promise<SegmentFile>;
  rename(names: { readonly from: string; readonly to: string }): Promise<void>;
  remove(path: string): Promise<void>;
  syncDirectory(path: string): Promise<void>;
}

export const realSegmentFiles: SegmentFiles = {
  async makeDirectory(path) {
    await mkdir(path, { recursive: true, mode: 0o700 });
  },
  list: (directory) => readdir(directory),
  read: (path) => readFile(path),
  open(path, how) {
    const flags =
      constants.O_RDWR | WRITE_THROUGH | (how === 'create' ? constants.O_CREAT | constants.O_EXCL : 0);
    return new Promise((resolve, reject) => {
      open(path, flags, 0o600, (error, descriptor) =>
        error === null ? resolve(new RealSegmentFile(descriptor)) : reject(error),
      );
    });
  },
  rename: ({ from, to }) => rename(from, to),
  remove: (path) => unlink(path),
  syncDirectory,
};

type Done = (error: Error | null) => void;

/** On the callback API, which costs less than file handles on the way of every write. */
class RealSegmentFile implements SegmentFile {
  readonly #descriptor: number;

  constructor(descriptor: number) {
    this.#descriptor = descriptor;
  }

  writeDurably(bytes: Uint8Array, position: number): Promise<void> {
    return settled((done) => {
      this.#writeAll(bytes, position, (error) => {
        if (error === null && WRITE_THROUGH === 0) fdatasync(this.#descriptor, done);
        else done(error);
      });
    });
  }

  sync(): Promise<void> {
    return settled((done) => {
      fsync(this.#descriptor, done);
    });
  }

  close(): Promise<void> {
    return settled((done) => {
      close(this.#descriptor, done);
    });
  }

  #writeAll(bytes: Uint8Array, position: number, done: Done): void {
    write(this.#descriptor, bytes, 0, bytes.length, position, (error, written) => {
      if (error !== null) done(error);
      else if (written === bytes.length) done(null);
      else if (written === 0) done(new Error('the disk took no bytes'));
      else this.#writeAll(bytes.subarray(written), position + written, done);
    });
  }
}

function settled(start: (done: (error?: Error | null) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    start((error) => {
      if (error === null || error === undefined) resolve();
      else reject(error);
    });
  });
}
