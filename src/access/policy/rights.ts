import { BUILT_IN_ROLES } from './builtInRoles.ts';
import { behindPrefix, type NameRange } from './nameRange.ts';
import type { PathPattern } from './pathPattern.ts';
import type { Area, ParsedPolicy } from './policy.ts';
import { type Capability, type Decisive, type Rule, RuleTree } from './ruleTree.ts';
import { holdsSecretNames, isSecretName } from './secretNames.ts';

/** What somebody may do who has these roles, with everything that they allow together. */
export class Rights {
  readonly #tree: RuleTree;
  readonly #areas: ReadonlySet<Area>;

  constructor(policies: readonly ParsedPolicy[]) {
    this.#tree = new RuleTree(policies.map(({ role, rules }) => ({ policy: role, rules })));
    this.#areas = new Set(policies.flatMap(({ areas }) => [...areas]));
  }

  administers(area: Area): boolean {
    return this.#areas.has(area);
  }

  /** @param name latin-1, one character for each byte */
  allows(capability: Capability, name: string): boolean {
    return this.decisive(name)?.capabilities.has(capability) ?? false;
  }

  /** Which rules say so; null: none is for this name, and nothing is allowed. */
  decisive(name: string): Decisive | null {
    return this.#tree.decisive(name);
  }

  /** Whether the value of this name may be handed out. */
  allowsValue(name: string): boolean {
    return this.allows(isSecretName(name) ? 'reveal' : 'read', name);
  }

  /** As RuleTree.allowsAll; a range of one name is that name. */
  allowsAll(capability: Capability, range: NameRange): boolean {
    if (range.end === `${range.start}\0`) return this.allows(capability, range.start);
    return this.#tree.allowsAll(range, capability);
  }

  /** Whether all values of this range may be handed out, be there such names or not. */
  allowsValues(range: NameRange): boolean {
    return this.allowsAll('read', range) && (!holdsSecretNames(range) || this.allowsAll('reveal', range));
  }

  /** Whether whoever has these rights has all of that policy: nobody grants what he does not have. */
  includes({ rules, areas }: ParsedPolicy): boolean {
    return [...areas].every((area) => this.administers(area)) && this.#allowsEach(askedOnce(rules));
  }

  #allowsEach(asked: Iterable<Asked>): boolean {
    for (const { range, capabilities } of asked)
      for (const capability of capabilities) if (!this.allowsAll(capability, range)) return false;
    return true;
  }
}

interface Asked {
  readonly range: NameRange;
  readonly capabilities: Set<Capability>;
}

/** Many patterns may lie in the same range: whoever writes a thousand that begin with `*` must not have it asked a thousand times. */
function askedOnce(rules: readonly Rule[]): Iterable<Asked> {
  const asked = new Map<string, Asked>();
  for (const { pattern, capabilities } of rules) {
    const range = rangeOf(pattern);
    // One name, or all that begin with a prefix: from the same start they have no other end.
    const key = `${range.end === `${range.start}\0` ? 'name' : 'prefix'} ${range.start}`;
    const known = asked.get(key) ?? { range, capabilities: new Set() };
    for (const capability of capabilities) known.capabilities.add(capability);
    asked.set(key, known);
  }
  return asked.values();
}

/** Where the names of a pattern lie, by its segments before the first `*`. */
export function rangeOf({ segments }: PathPattern): NameRange {
  const open = segments.findIndex(({ kind }) => kind !== 'literal');
  const fixed = segments.slice(0, open === -1 ? segments.length : open);
  const name = fixed.map((segment) => (segment.kind === 'literal' ? segment.text : '')).join('/');
  if (open === -1) return { start: name, end: `${name}\0` };
  const prefix = open === 0 ? '' : `${name}/`;
  return { start: prefix, end: behindPrefix(prefix) };
}

/** Of whom the cluster's authority has certified. */
export const ALL_RIGHTS = new Rights([...BUILT_IN_ROLES.values()].filter(({ role }) => role === 'admin'));
export const NO_RIGHTS = new Rights([]);
