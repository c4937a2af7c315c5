import { asBuffer } from '../../src/base/bytes.ts';
import type { LogIndex } from '../../src/base/ids.ts';
import { NO_CONFIGURATION } from '../../src/replication/raft/configuration.ts';
import type { Configuration } from '../../src/replication/raft/types.ts';
import type { Store } from '../../src/store/store.ts';
import type { Machine } from './machine.ts';
import type { AppliedEvent } from './machineState.ts';
import { problemOf, quorumsMeet } from './quorums.ts';
import type { World } from './world.ts';

/** One entry as the first node to apply it did. */
interface History {
  readonly hash: string;
  readonly digest: string;
}

/** What was applied at every index, by whom ever first; everybody else has to agree. And what callers were told. */
export class AppliedHistory {
  readonly #world: World;
  readonly #history: (History | undefined)[] = [];
  readonly #requests = new Map<string, { readonly index: LogIndex; readonly answer: string }>();
  readonly #logTimesMs = new Map<Machine, number>();
  /** What each machine has applied in this life, or found on its disk. */
  readonly #applied = new Map<Machine, LogIndex>();
  #newestConfiguration: Configuration = NO_CONFIGURATION;
  #newestConfigurationIndex: LogIndex = 0;
  /** Everything up to here has been told to some client. */
  maxAnswered: LogIndex = 0;
  counts = { applied: 0, installed: 0 };

  constructor(world: World) {
    this.#world = world;
  }

  /** What the founders begin with. */
  begin(configuration: Configuration): void {
    this.#newestConfiguration = configuration;
  }

  /** The configuration that was committed last, as far as anybody has applied it. */
  get newestConfiguration(): Configuration {
    return this.#newestConfiguration;
  }

  get newestConfigurationIndex(): LogIndex {
    return this.#newestConfigurationIndex;
  }

  /** Its next life begins with the state on its disk, which is an older one. */
  crashed(machine: Machine): void {
    this.#logTimesMs.delete(machine);
  }

  /** I13: what a start finds is the effect of the index that it finds, and of nothing after it. */
  opened(machine: Machine, { index, store }: { index: LogIndex; store: Store }): void {
    this.#applied.set(machine, index);
    this.#checkState(machine, { index, store, what: 'starts from' });
  }

  /** I13, I27, I32, I34: every node applies the same entry to the same effect at the same index, once. */
  applied(machine: Machine, { event, store }: { event: AppliedEvent; store: Store }): void {
    const { entry } = event;
    this.counts.applied += 1;
    const last = this.#applied.get(machine) ?? 0;
    this.#check(
      entry.index === last + 1,
      () => `I13: ${machine.nodeId} applies ${entry.index} after ${last}`,
    );
    this.#applied.set(machine, entry.index);
    const hash = text(entry.hash);
    const digest = text(store.digest);
    const timeMs = this.#logTimesMs.get(machine) ?? 0;
    this.#check(store.logTimeMs >= timeMs, () => `I34: log time runs backwards at ${entry.index}`);
    this.#logTimesMs.set(machine, store.logTimeMs);
    const known = this.#history[entry.index];
    if (known === undefined) {
      this.#history[entry.index] = { hash, digest };
      this.#checkOnce(event);
      if (entry.type === 'configuration') this.#configured(entry.index, entry.configuration);
    } else {
      this.#check(
        known.hash === hash,
        () => `I27: ${machine.nodeId} applies another entry at ${entry.index}`,
      );
      this.#check(
        known.digest === digest,
        () => `I27: the state of ${machine.nodeId} differs at ${entry.index}`,
      );
    }
  }

  /** I20, I27: a snapshot only ever leads forward, to the state that everybody has there. */
  installed(machine: Machine, { index, store }: { index: LogIndex; store: Store }): void {
    this.#world.guard(() => {
      this.counts.installed += 1;
      const last = this.#applied.get(machine) ?? 0;
      this.#check(index > last, () => `I20: ${machine.nodeId} installs ${index} after ${last}`);
      this.#applied.set(machine, index);
      this.#checkState(machine, { index, store, what: 'installed' });
    });
  }

  digestAt(index: LogIndex): string | null {
    return this.#history[index]?.digest ?? null;
  }

  /** A client has been told of everything up to `index`; `askedAt` is what others had been told when it asked. */
  answered({ index, askedAt }: { readonly index: LogIndex; readonly askedAt: LogIndex }): void {
    this.#check(
      index > askedAt,
      () => `I32: an answer at ${index} to a request made after one at ${askedAt}`,
    );
    this.maxAnswered = Math.max(this.maxAnswered, index);
  }

  /** I31: a read sees everything that was committed anywhere when it was asked for. */
  read(
    machine: Machine,
    { applied, askedAtCommit }: { readonly applied: LogIndex; readonly askedAtCommit: LogIndex },
  ): void {
    this.#check(
      applied >= askedAtCommit,
      () => `I31: ${machine.nodeId} reads at ${applied}, and misses ${askedAtCommit}`,
    );
    this.maxAnswered = Math.max(this.maxAnswered, applied);
  }

  /** I28: the quorums of configurations that follow each other meet. */
  #configured(index: LogIndex, configuration: Configuration): void {
    const before = this.newestConfiguration;
    this.#newestConfiguration = configuration;
    this.#newestConfigurationIndex = index;
    this.#check(quorumsMeet(before, configuration), () => `I28: quorums at ${index} and before do not meet`);
    const problem = problemOf(configuration);
    this.#check(problem === null, () => `I18: at ${index} ${problem}`);
  }

  /** I32: a request is executed once, and answered the same whenever it comes again. */
  #checkOnce({ entry, batch, outcomes }: AppliedEvent): void {
    batch?.commands.forEach((command, place) => {
      const { request } = command;
      const outcome = outcomes[place];
      if (!request || outcome === undefined) return;
      const id = `${request.clientId}/${request.number}`;
      const answer = JSON.stringify({
        revision: outcome.transaction?.revision,
        succeeded: outcome.transaction?.succeeded,
        code: outcome.failure?.code,
      });
      const known = this.#requests.get(id);
      if (outcome.failure?.code === 'REQUEST_FORGOTTEN') return;
      if (known === undefined) {
        this.#requests.set(id, { index: entry.index, answer });
        this.#check(!outcome.replayed, () => `I32: ${id} is replayed before it was executed`);
        return;
      }
      this.#check(
        outcome.replayed,
        () => `I32: ${id} is executed at ${known.index} and again at ${entry.index}`,
      );
      this.#check(known.answer === answer, () => `I32: ${id} is answered ${known.answer} and then ${answer}`);
    });
  }

  #checkState(
    machine: Machine,
    { index, store, what }: { index: LogIndex; store: Store; what: string },
  ): void {
    const known = this.#history[index]?.digest;
    this.#check(
      known === undefined || known === text(store.digest),
      () => `I27: ${machine.nodeId} ${what} another state at ${index}`,
    );
  }

  #check(condition: boolean, message: () => string): void {
    this.#world.check(condition, message);
  }
}

function text(bytes: Uint8Array): string {
  return asBuffer(bytes).toString('latin1');
}
