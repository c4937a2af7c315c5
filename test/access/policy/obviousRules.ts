import type { PathPattern, PatternSegment } from '../../../src/access/policy/pathPattern.ts';
import type { Capability, Decisive, RulesOfPolicy } from '../../../src/access/policy/ruleTree.ts';

const ORDER: readonly PatternSegment['kind'][] = ['rest', 'any', 'literal'];

function matches({ segments }: PathPattern, name: string): boolean {
  const parts = name.split('/');
  const ends = segments.at(-1)?.kind === 'rest';
  if (ends ? parts.length < segments.length : parts.length !== segments.length) return false;
  return segments.every((segment, at) => segment.kind !== 'literal' || segment.text === parts[at]);
}

/** Positive: `one` is more specific. Both are for one name. */
function moreSpecific(one: PathPattern, other: PathPattern): number {
  const length = Math.max(one.segments.length, other.segments.length);
  for (let at = 0; at < length; at += 1) {
    const rank = ({ segments }: PathPattern) => ORDER.indexOf(segments[at]?.kind ?? 'rest');
    if (rank(one) !== rank(other)) return rank(one) - rank(other);
  }
  return 0;
}

/** What decides about a name, by looking at every rule: slow, and plain to see. */
export function obviouslyDecisive(policies: readonly RulesOfPolicy[], name: string): Decisive | null {
  const all = policies.flatMap(({ policy, rules }) => rules.map((rule) => ({ policy, ...rule })));
  const forName = all.filter(({ pattern }) => matches(pattern, name));
  const best = forName.toSorted((one, other) => moreSpecific(other.pattern, one.pattern))[0];
  if (best === undefined) return null;
  const deciding = forName.filter(({ pattern }) => moreSpecific(pattern, best.pattern) === 0);
  const denies = deciding.some(({ capabilities }) => capabilities.size === 0);
  const capabilities = new Set<Capability>();
  if (!denies)
    for (const rule of deciding) for (const capability of rule.capabilities) capabilities.add(capability);
  return {
    pattern: best.pattern.text,
    policies: [...new Set(deciding.map(({ policy }) => policy))],
    capabilities,
  };
}
