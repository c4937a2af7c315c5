import { present } from '../../base/assert.ts';
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

  constructor(policies: readonly RulesOfPolicy[]) {
    for (const { policy, rules } of policies) for (const rule of rules) add(this.#root, policy, rule);
  }

  /**
   * Null: no rule is for this name. Visits each place once at most, whatever the patterns.
   * @param name latin-1, one character for each byte
   */
  decisive(name: string): Decisive | null {
    return decisiveFrom(this.#root, name, 0);
  }
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
