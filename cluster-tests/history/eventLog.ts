import { compareKeys, sameItem } from './evaluate.ts';
import type { Finding, KeyEvent, LogLine, Seen } from './types.ts';

/** The last part of a key that says where a read-back ended; no workload uses it. */
export const END_MARKER = '~end';

/** The committed changes of a run, looked up by revision and by key. */
export class EventLog {
  readonly line: LogLine;
  readonly #byRevision = new Map<number, KeyEvent[]>();
  readonly #byKey = new Map<string, KeyEvent[]>();
  readonly #keys: readonly string[];

  constructor(events: readonly KeyEvent[], line: LogLine) {
    this.line = line;
    for (const event of events) {
      append(this.#byRevision, event.mod, event);
      append(this.#byKey, event.key, event);
    }
    for (const list of this.#byKey.values()) list.sort((a, b) => a.mod - b.mod);
    this.#keys = [...this.#byKey.keys()].sort(compareKeys);
  }

  /** Whether everything of this key up to and including `rev` is known. */
  covers(key: string, rev: number): boolean {
    return key.startsWith(this.line.prefix) && rev >= this.line.after && rev <= this.line.upTo;
  }

  at(rev: number): readonly KeyEvent[] {
    return this.#byRevision.get(rev) ?? [];
  }

  revisions(): readonly number[] {
    return [...this.#byRevision.keys()];
  }

  ofKey(key: string): readonly KeyEvent[] {
    return this.#byKey.get(key) ?? [];
  }

  /** The key as of a revision, all changes at `rev` included. */
  item(key: string, rev: number): Seen | null {
    const events = this.ofKey(key);
    let low = 0;
    let high = events.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((events[middle]?.mod ?? 0) <= rev) low = middle + 1;
      else high = middle;
    }
    const last = events[low - 1];
    return last === undefined || last.type === 'delete' ? null : last;
  }

  items(prefix: string, rev: number): readonly Seen[] {
    const items: Seen[] = [];
    for (let i = this.#firstKey(prefix); i < this.#keys.length; i += 1) {
      const key = this.#keys[i] ?? '';
      if (!key.startsWith(prefix)) break;
      const item = this.item(key, rev);
      if (item !== null) items.push(item);
    }
    return items;
  }

  #firstKey(prefix: string): number {
    let low = 0;
    let high = this.#keys.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (compareKeys(this.#keys[middle] ?? '', prefix) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function append(lists: Map<string, KeyEvent[]>, key: string, event: KeyEvent): void;
function append(lists: Map<number, KeyEvent[]>, key: number, event: KeyEvent): void;
function append<Key>(lists: Map<Key, KeyEvent[]>, key: Key, event: KeyEvent): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [event]);
  else list.push(event);
}

export function isMarker(key: string): boolean {
  return key.endsWith(END_MARKER);
}

/** Whether the events are a possible past at all: ordered, each following from the one before it at its key. */
export function checkEvents(events: readonly KeyEvent[]): readonly Finding[] {
  const problems: string[] = [];
  const now = new Map<string, Seen | null>();
  let last = 0;
  let keysOfRevision = new Set<string>();
  for (const event of events) {
    if (event.mod < last) problems.push(`revision ${event.mod} comes after ${last}`);
    if (event.mod !== last) keysOfRevision = new Set();
    last = event.mod;
    if (keysOfRevision.has(event.key)) problems.push(`${event.key} changes twice at revision ${event.mod}`);
    keysOfRevision.add(event.key);
    problems.push(...objections(event, now.get(event.key) ?? null));
    now.set(event.key, event.type === 'delete' ? null : event);
  }
  const verdict = problems.length === 0 ? 'ok' : 'illegal';
  return [
    {
      check: 'event log',
      subject: 'all events',
      verdict,
      detail: problems.slice(0, PROBLEMS_SHOWN).join('\n'),
    },
  ];
}

const PROBLEMS_SHOWN = 20;

function objections(event: KeyEvent, before: Seen | null): readonly string[] {
  const what = `${event.key} at revision ${event.mod}`;
  const problems: string[] = [];
  if (event.type === 'delete') {
    if (before === null) problems.push(`${what}: deleted, and did not exist`);
    if (event.version !== 0 || event.create !== 0) problems.push(`${what}: a delete with a version`);
  } else {
    const version = (before?.version ?? 0) + 1;
    const create = before?.create ?? event.mod;
    if (event.version !== version) problems.push(`${what}: version ${event.version}, expected ${version}`);
    if (event.create !== create) problems.push(`${what}: created at ${event.create}, expected ${create}`);
  }
  if (event.previous !== undefined && !sameItem(event.previous, before)) {
    problems.push(
      `${what}: previous is ${JSON.stringify(event.previous)}, but before it was ${JSON.stringify(before)}`,
    );
  }
  return problems;
}
