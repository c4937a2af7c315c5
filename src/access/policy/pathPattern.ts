import { HoldfastError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';

export type PatternSegment =
  | { readonly kind: 'literal'; readonly text: string }
  | { readonly kind: 'any' }
  | { readonly kind: 'rest' };

/**
 * Which names a rule is for. Names and patterns fall into segments at each `/`, and match from the first segment to the last:
 * `*` is any one segment, an empty one too; `**`, at the end, is one segment or more; anything else is itself. So `a` is not for `ab`,
 * `a/*` not for `a` or `a/b/c`, and `a/**` for all names that begin with `a/`.
 */
export interface PathPattern {
  /** As it was written. */
  readonly text: string;
  /** At least one. Texts are latin-1, one character for each byte, as names are. */
  readonly segments: readonly PatternSegment[];
}

const ANY: PatternSegment = { kind: 'any' };
const REST: PatternSegment = { kind: 'rest' };

/** @throws HoldfastError INVALID_ARGUMENT naming the field */
export function parsePathPattern(text: string, field: string): PathPattern {
  const name = Buffer.from(text, 'utf8').toString('latin1');
  if (name === '') throw refused(field, 'is empty', 'write ** for all names');
  if (name.length > LIMITS.keyBytesMax)
    throw refused(field, `has more than ${LIMITS.keyBytesMax} bytes`, 'no name is as long as that');
  const parts = name.split('/');
  if (parts.length > LIMITS.patternSegmentsMax) {
    throw refused(field, `has more than ${LIMITS.patternSegmentsMax} segments`, 'end it sooner, with **');
  }
  return { text, segments: parts.map((part, at) => segmentOf(part, at === parts.length - 1, field)) };
}

function segmentOf(part: string, isLast: boolean, field: string): PatternSegment {
  if (part === '**') {
    if (isLast) return REST;
    throw refused(field, 'has ** before its end', 'write * for each segment in the middle');
  }
  if (part === '*') return ANY;
  if (!part.includes('*')) return { kind: 'literal', text: part };
  throw refused(field, 'has * beside other characters', '* stands for a whole segment between two /');
}

function refused(field: string, what: string, hint: string): HoldfastError {
  return new HoldfastError('INVALID_ARGUMENT', `the pattern ${what}`, { field, hint });
}
