const UNITS = new Map([
  ['ms', 1],
  ['s', 1_000],
  ['m', 60_000],
  ['h', 3_600_000],
  ['d', 86_400_000],
]);

/** What a duration looks like, for hints. */
export const DURATION_FORM = 'write a whole number and a unit: 500ms, 30s, 10m, 1h, 7d';

/** Milliseconds from 500ms, 30s, 10m, 1h or 7d; null when the text is no duration. */
export function parseDurationMs(text: string): number | null {
  const match = /^([0-9]{1,9})(ms|s|m|h|d)$/.exec(text);
  const unitMs = UNITS.get(match?.[2] ?? '');
  return match === null || unitMs === undefined ? null : Number(match[1]) * unitMs;
}
