import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { unreachable } from '../../src/base/assert.ts';
import { isMutation, putsOf } from './evaluate.ts';
import { isMarker } from './eventLog.ts';
import type {
  AppliedLine,
  DigestLine,
  Finding,
  History,
  HistoryLine,
  KeyEvent,
  LogLine,
  OperationLine,
  WatchLine,
  WorkloadLine,
} from './types.ts';

/** Sorts lines out as they come. */
export class HistoryBuilder {
  readonly #operations: OperationLine[] = [];
  readonly #watches: WatchLine[] = [];
  readonly #events: KeyEvent[] = [];
  readonly #digests: DigestLine[] = [];
  readonly #applied: AppliedLine[] = [];
  readonly #workloads: WorkloadLine[] = [];
  #log: LogLine | null = null;

  add(line: HistoryLine): void {
    switch (line.f) {
      case 'get':
      case 'put':
      case 'delete':
      case 'cas':
      case 'range':
      case 'txn':
        if (line.status === 'ok' && (line.ret === null || line.rev === null || line.out === null)) {
          throw new Error(`client ${line.client}: done at ${line.call}, and without an answer`);
        }
        this.#operations.push(line);
        return;
      case 'watch':
        this.#watches.push(line);
        return;
      case 'event':
        this.#events.push(line);
        return;
      case 'log':
        this.#log = line;
        return;
      case 'digest':
        this.#digests.push(line);
        return;
      case 'applied':
        this.#applied.push(line);
        return;
      case 'workload':
        this.#workloads.push(line);
        return;
      case 'note':
        return;
      default:
        unreachable(line, 'line of a history');
    }
  }

  build(): History {
    return {
      operations: this.#operations.toSorted((a, b) => a.call - b.call),
      watches: this.#watches,
      events: this.#events,
      log: this.#log,
      digests: this.#digests,
      applied: this.#applied,
      workloads: this.#workloads,
    };
  }
}

/** @throws Error where a line is no JSON or of no kind that is known: a history with a hole proves nothing */
export async function readHistory(path: string): Promise<History> {
  const builder = new HistoryBuilder();
  const lines = createInterface({
    input: createReadStream(path, 'utf8'),
    crlfDelay: Number.POSITIVE_INFINITY,
  });
  let number = 0;
  for await (const text of lines) {
    number += 1;
    if (text.trim() === '') continue;
    try {
      builder.add(JSON.parse(text) as HistoryLine);
    } catch (cause) {
      throw new Error(`${path}, line ${number} is no line of a history`, { cause });
    }
  }
  return builder.build();
}

const PROBLEMS_SHOWN = 10;

/**
 * What the checks rely on: clients that do one thing at a time and nothing after an unknown outcome, times that go
 * on, and values that only one operation writes to a key. A recording that breaks this is of no use.
 */
export function checkRecording({ operations }: Pick<History, 'operations'>): Finding {
  const problems: string[] = [];
  const last = new Map<number, OperationLine>();
  const values = new Set<string>();
  for (const line of operations) {
    if (line.ret !== null && line.ret <= line.call)
      problems.push(`client ${line.client}: ends before it begins`);
    const before = last.get(line.client);
    if (before !== undefined && (before.ret === null || before.status === 'info' || before.ret > line.call)) {
      problems.push(
        `client ${line.client} goes on at ${line.call}, and its call at ${before.call} is not settled`,
      );
    }
    last.set(line.client, line);
    if (!isMutation(line)) continue;
    for (const { key, value } of uniquePuts(line)) {
      const place = JSON.stringify([key, value]);
      if (values.has(place) || isMarker(key)) problems.push(`${key} = ${value} is written more than once`);
      values.add(place);
    }
  }
  const verdict = problems.length === 0 ? 'ok' : 'unknown';
  const detail = problems.slice(0, PROBLEMS_SHOWN).join('\n');
  return { check: 'recording', subject: 'all operations', verdict, detail };
}

/** Only one branch of a transaction runs: both may put the same. */
function uniquePuts(line: OperationLine): readonly { readonly key: string; readonly value: string }[] {
  const puts = new Map(putsOf(line).map((put) => [JSON.stringify([put.key, put.value]), put]));
  return [...puts.values()];
}
