import { type ChildProcess, fork } from 'node:child_process';
import type { SeedOrder, SeedReport } from './worker.ts';

/** A run takes far less; one that does not end is a failure too. */
const RUN_DEADLINE_MS = 60_000;

/** Processes that run seeds side by side, each one at a time. */
export class Workers {
  readonly #program: string;
  readonly #count: number;

  constructor({ program, count }: { readonly program: string; readonly count: number }) {
    this.#program = program;
    this.#count = count;
  }

  /**
   * Runs all orders; `onReport` may end it early by returning false. A process that dies or does not answer counts as
   * a failure of the seed that it had.
   */
  async run(orders: Iterable<SeedOrder>, onReport: (report: SeedReport) => boolean): Promise<void> {
    const queue = orders[Symbol.iterator]();
    let going = true;
    const one = async (): Promise<void> => {
      let child: ChildProcess | null = null;
      for (;;) {
        const next = going ? queue.next() : undefined;
        if (next === undefined || next.done === true) break;
        child ??= fork(this.#program, {
          execArgv: ['--enable-source-maps'],
          stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
        });
        const report = await ask(child, next.value);
        if (child.exitCode !== null || child.signalCode !== null || child.killed) child = null;
        going = onReport(report) && going;
      }
      child?.kill();
    };
    await Promise.all(Array.from({ length: this.#count }, one));
  }
}

function ask(child: ChildProcess, order: SeedOrder): Promise<SeedReport> {
  return new Promise((resolve) => {
    let said = '';
    const hear = (chunk: Buffer): void => {
      said = (said + chunk.toString()).slice(-4_000);
    };
    const finish = (report: SeedReport): void => {
      clearTimeout(deadline);
      child.off('message', finish).off('exit', ended);
      child.stderr?.off('data', hear);
      resolve(report);
    };
    const ended = (): void => finish(dead(order, `the process ended: ${said}`));
    const deadline = setTimeout(() => {
      child.kill('SIGKILL');
      finish(dead(order, 'the run does not end'));
    }, RUN_DEADLINE_MS);
    child.once('message', finish).once('exit', ended);
    child.stderr?.on('data', hear);
    child.send(order);
  });
}

function dead({ seed }: SeedOrder, message: string): SeedReport {
  const failure = { message, step: 0 };
  return { seed, steps: 0, simulatedMs: 0, failure, faults: [], voters: 0, counts: {}, coverage: [] };
}
