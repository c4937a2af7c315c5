/** Names from `start` up to and without `end`, latin-1, one character for each byte; an empty `end` is no bound. */
export interface NameRange {
  readonly start: string;
  readonly end: string;
}

/** The first name behind all that begin with a prefix, which is empty or ends in `/`: so there is a character above. */
export const behindPrefix = (prefix: string): string => (prefix === '' ? '' : `${prefix.slice(0, -1)}0`);

const isBefore = (name: string, end: string): boolean => end === '' || name < end;

export const overlap = (one: NameRange, other: NameRange): boolean =>
  isBefore(one.start, other.end) && isBefore(other.start, one.end);

export const contains = (outer: NameRange, inner: NameRange): boolean =>
  outer.start <= inner.start && (outer.end === '' || (inner.end !== '' && inner.end <= outer.end));
