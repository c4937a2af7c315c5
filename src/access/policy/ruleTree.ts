import { present } from '../../base/assert.ts';
import { behindPrefix, contains, type NameRange, overlap } from './nameRange.ts';
import type { PathPattern } from './pathPattern.ts';

export const CAPABILITIES = ['list', 'read', 'write', 'delete', 'reveal', 'rollback'] as const;
export type Capability = (typeof CAPABILITIES)[number];

/** What may be done with the names of a pattern; with none, nothing. */
export interface Rule {
  readonly pattern: PathPattern;
  readonly capabilities: ReadonlySet<Capability>;
}

export interface RulesOfPolicy {
  readonly policy: string;
  readonly rules: readonly Rule[];
}

/** What decides about a name: all rules that have the most specific of its patterns. */
export interface Decisive {
  readonly pattern: string;
  /** The policies that have it, in the order in which they were given. */
  readonly policies: readonly string[];
  /** What any of them allows; nothing when one of them allows nothing. */
  readonly capabilities: ReadonlySet<Capability>;
}

/** Where the patterns part that have the same segments up to here. */
interface Place {
  readonly literals: Map<string, Place>;
  any: Place | null;
  /** Of the pattern that goes on with `**`. */
  rest: Decisive | null;
  /** Of the pattern that ends here. */
  end: Decisive | null;
}

/**
 * The rules of all policies that somebody has. Of two patterns for one name that is more specific which, at the first segment
 * where they differ, is the text itself rather than `*`, and `*` rather than `**`: no two patterns for a name are equally so.
 */
export class RuleTree {
  readonly #root = newPlace();
  /** By where they begin; what has the same names is one. */
  readonly #reaches: readonly Reach[];
  readonly #byStart = new Map<string, Reach[]>();

  constructor(policies: readonly RulesOfPolicy[]) {
    for (const { policy, rules } of policies) for (const rule of rules) add(this.#root, policy, rule);
    for (const reach of reachesBelow(this.#root, { prefix: '', isFixed: true })) this.#addReach(reach);
    const reaches = [...this.#byStart.values()].flat();
    this.#reaches = reaches.toSorted((one, other) => (one.start < other.start ? -1 : 1));
  }

  /** Ranges of names that its patterns are for, the same one counted once: as many are looked at for a range at most. */
  get reachCount(): number {
    return this.#reaches.length;
  }

  /**
   * Null: no rule is for this name. Visits each place once at most, whatever the patterns.
   * @param name latin-1, one character for each byte
   */
  decisive(name: string): Decisive | null {
    return decisiveFrom(this.#root, name, 0);
  }

  /**
   * Whether this may be done with every name in a range, be there such a name or not: there is a pattern for all of them, and of
   * those that are for any of them each allows it. So the answer says nothing of what the store holds. May be no though each name by
   * itself is allowed, when several patterns share the range or one that denies is for fewer names than its first segments say.
   * @param range names from `start` up to and without `end`; an empty `end` is no bound
   */
  allowsAll(range: NameRange, capability: Capability): boolean {
    let isWhole = false;
    for (const reach of this.#touching(range)) {
      if (!reach.capabilities.has(capability)) return false;
      isWhole ||= reach.isRest && contains(reach, range);
    }
    return isWhole;
  }

  /** At most two begin at one place: that of the name itself, and that of all names that begin with it. */
  #addReach(reach: Reach): void {
    const others = this.#byStart.get(reach.start) ?? [];
    const at = others.findIndex(({ end }) => end === reach.end);
    const other = others[at];
    if (other === undefined) others.push(reach);
    else others[at] = both(other, reach);
    this.#byStart.set(reach.start, others);
  }

  /**
   * Patterns that are for any name of the range. Where they lie is a prefix or one name, so that two of them lie apart or one in
   * the other: what begins before the range and reaches into it begins with one of its first segments.
   */
  *#touching(range: NameRange): Generator<Reach> {
    const { start } = range;
    for (let end = 0; end < start.length && end !== -1; ) {
      for (const reach of this.#byStart.get(start.slice(0, end)) ?? [])
        if (overlap(reach, range)) yield reach;
      const slash = start.indexOf('/', end);
      end = slash === -1 ? -1 : slash + 1;
    }
    for (let at = firstFrom(this.#reaches, start); at < this.#reaches.length; at += 1) {
      const reach = this.#reaches[at];
      if (reach === undefined || !overlap(reach, range)) return;
      yield reach;
    }
  }
}

/** Where the names of patterns lie: within this range, by the segments before their first `*`. */
interface Reach extends NameRange {
  /** One of them is for all names of the range. */
  readonly isRest: boolean;
  /** What each of them allows. */
  readonly capabilities: ReadonlySet<Capability>;
}

function both(one: Reach, other: Reach): Reach {
  return {
    ...one,
    isRest: one.isRest || other.isRest,
    capabilities: new Set([...one.capabilities].filter((capability) => other.capabilities.has(capability))),
  };
}

function reachOf({ start, end }: NameRange, { capabilities }: Decisive, isRest = false): Reach {
  return { start, end, isRest, capabilities };
}

/** `prefix` is what all names of the place begin with; not fixed: behind a `*`. */
function* reachesBelow(
  place: Place,
  { prefix, isFixed }: { readonly prefix: string; readonly isFixed: boolean },
): Generator<Reach> {
  const within = { start: prefix, end: behindPrefix(prefix) };
  if (place.rest !== null) yield reachOf(within, place.rest, isFixed);
  for (const [text, next] of place.literals) {
    const name = prefix + text;
    const own = isFixed ? { start: name, end: `${name}\0` } : within;
    if (next.end !== null) yield reachOf(own, next.end);
    yield* reachesBelow(next, { prefix: isFixed ? `${name}/` : prefix, isFixed });
  }
  if (place.any === null) return;
  if (place.any.end !== null) yield reachOf(within, place.any.end);
  yield* reachesBelow(place.any, { prefix, isFixed: false });
}

/** The position of the first that begins there or behind it. */
function firstFrom(sorted: readonly Reach[], start: string): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (present(sorted[middle], 'pattern').start < start) low = middle + 1;
    else high = middle;
  }
  return low;
}

function newPlace(): Place {
  return { literals: new Map(), any: null, rest: null, end: null };
}

function add(root: Place, policy: string, { pattern, capabilities }: Rule): void {
  const rule = { pattern: pattern.text, policies: [policy], capabilities };
  let place = root;
  for (const segment of pattern.segments) {
    switch (segment.kind) {
      case 'literal': {
        if (!place.literals.has(segment.text)) place.literals.set(segment.text, newPlace());
        place = present(place.literals.get(segment.text), 'place of a segment');
        break;
      }
      case 'any':
        place.any ??= newPlace();
        place = place.any;
        break;
      case 'rest':
        place.rest = together(place.rest, rule);
        return;
    }
  }
  place.end = together(place.end, rule);
}

function together(one: Decisive | null, other: Decisive): Decisive {
  if (one === null) return other;
  const denies = one.capabilities.size === 0 || other.capabilities.size === 0;
  return {
    pattern: one.pattern,
    policies: [...new Set([...one.policies, ...other.policies])],
    capabilities: new Set(denies ? [] : [...one.capabilities, ...other.capabilities]),
  };
}

/** `start` is where the next segment begins; behind the end of the name there is none. */
function decisiveFrom(place: Place, name: string, start: number): Decisive | null {
  if (start > name.length) return place.end;
  const slash = name.indexOf('/', start);
  const end = slash === -1 ? name.length : slash;
  const literal = place.literals.get(name.slice(start, end));
  return (
    (literal === undefined ? null : decisiveFrom(literal, name, end + 1)) ??
    (place.any === null ? null : decisiveFrom(place.any, name, end + 1)) ??
    place.rest
  );
}
