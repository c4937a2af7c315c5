import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { waitFor } from '../faultProxy/waitFor.ts';

/**
 * What makes bytes durable: the log writes with pwrite64 to files opened with O_DSYNC and never calls the other two,
 * LevelDB and etcd's log call fdatasync, and new files are fsynced.
 */
export const DURABLE_WRITES = 'pwrite64,fdatasync,fsync';
/** Those of holdfast's log and of its watermark alone. */
export const LOG_WRITES = 'pwrite64';

/** A segment of holdfast's log, or of etcd's. */
const LOG_FILE = /\.wal$/;
const CALL = /^(?:\[pid\s+(\d+)\] )?(?:\w+\(\d+<([^>]*)>|<\.\.\. \w+ resumed>)/;

/** Does something to these calls of a running process, until it is ended or the process is. */
export class Tracer {
  readonly #child: ChildProcess;
  /** Ended, and all that it said has been read. */
  readonly #closed: Promise<unknown>;
  readonly #struck = new Map<string, number>();
  /** The files of calls that have begun, by thread. */
  readonly #begun = new Map<string, string>();
  #rest = '';

  /** `harm` as strace's inject takes it after the names of the calls: `delay_exit=MICROSECONDS`, `error=EIO`. */
  constructor(pid: number, calls: typeof DURABLE_WRITES | typeof LOG_WRITES, harm: string) {
    this.#child = spawn(
      'strace',
      `-f -qq -y -s 0 -e trace=${calls} -e inject=${calls}:${harm} -p ${pid}`.split(' '),
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    this.#closed = once(this.#child, 'close').catch(() => undefined);
    this.#child.on('error', () => undefined);
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => this.#read(text));
  }

  /** The files that met it, and how often. */
  get struck(): ReadonlyMap<string, number> {
    return this.#struck;
  }

  /** Whether a write to a segment of the log met it. */
  struckLog(): boolean {
    return [...this.#struck.keys()].some((path) => LOG_FILE.test(path));
  }

  async end(): Promise<void> {
    this.#child.kill('SIGINT');
    await Promise.race([this.#closed, waitFor(3_000)]);
    this.#child.kill('SIGKILL');
  }

  #read(text: string): void {
    const lines = `${this.#rest}${text}`.split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) {
      const [, thread = '', path] = CALL.exec(line) ?? [];
      if (path !== undefined) this.#begun.set(thread, path);
      const file = path ?? this.#begun.get(thread);
      if (file !== undefined && /\((?:DELAYED|INJECTED)\)/.test(line))
        this.#struck.set(file, (this.#struck.get(file) ?? 0) + 1);
    }
  }
}
