import { HoldfastError } from '../../base/errors.ts';
import type { Policy } from '../../proto/storage.ts';
import { parsePathPattern } from './pathPattern.ts';
import { CAPABILITIES, type Capability, type Rule } from './ruleTree.ts';

/** What can be administered, beside names. */
export const AREAS = ['cluster', 'keys', 'snapshots', 'access', 'audit', 'audit-settings'] as const;
export type Area = (typeof AREAS)[number];

/** A policy that was understood. A role has the name of its policy. */
export interface ParsedPolicy {
  readonly role: string;
  readonly rules: readonly Rule[];
  readonly areas: ReadonlySet<Area>;
}

/** @throws HoldfastError INVALID_ARGUMENT naming the field */
export function parsePolicy({ role, rules, admin }: Policy): ParsedPolicy {
  const seen = new Map<string, number>();
  const parsed = rules.map(({ path, capabilities }, at) => {
    const field = `rules[${at}]`;
    const first = seen.get(path);
    if (first !== undefined) throw repeated(`${field}.path`, `rules[${first}]`);
    seen.set(path, at);
    return {
      pattern: parsePathPattern(path, `${field}.path`),
      capabilities: wordsOf<Capability>(capabilities, CAPABILITIES, `${field}.capabilities`),
    };
  });
  return { role, rules: parsed, areas: wordsOf<Area>(admin, AREAS, 'admin') };
}

function wordsOf<Word extends string>(
  words: readonly string[],
  known: readonly Word[],
  field: string,
): ReadonlySet<Word> {
  const found = words.map((word) => known.find((one) => one === word) ?? unknownWord(word, known, field));
  return new Set(found);
}

function unknownWord(word: string, known: readonly string[], field: string): never {
  throw new HoldfastError('INVALID_ARGUMENT', `${JSON.stringify(word.slice(0, 64))} is not known here`, {
    field,
    hint: `write any of ${known.join(', ')}`,
  });
}

/** Which of two would count, a reader could not tell. */
function repeated(field: string, first: string): HoldfastError {
  return new HoldfastError('INVALID_ARGUMENT', `the path is that of ${first} already`, {
    field,
    hint: 'write one rule for each path',
  });
}
