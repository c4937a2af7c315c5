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
    return [...areas].every((area) => this.administers(area)) && rules.every((rule) => this.#has(rule));
  }

  #has({ pattern, capabilities }: Rule): boolean {
    const range = rangeOf(pattern);
    return [...capabilities].every((capability) => this.allowsAll(capability, range));
  }
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
