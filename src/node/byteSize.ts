const UNITS = new Map([
  ['KiB', 1024],
  ['MiB', 1024 ** 2],
  ['GiB', 1024 ** 3],
]);

/** What a size looks like, for hints. */
export const SIZE_FORM = 'write a whole number and a unit: 64KiB, 256MiB, 2GiB';

/** Bytes from 64KiB, 256MiB or 2GiB; null when the text is no size. */
export function parseByteSize(text: string): number | null {
  const match = /^([0-9]{1,6})(KiB|MiB|GiB)$/.exec(text);
  const unitBytes = UNITS.get(match?.[2] ?? '');
  return match === null || unitBytes === undefined ? null : Number(match[1]) * unitBytes;
}

/** The same size in the largest unit that divides it. */
export function formatByteSize(bytes: number): string {
  for (const [unit, unitBytes] of [...UNITS].reverse()) {
    if (bytes % unitBytes === 0) return `${bytes / unitBytes}${unit}`;
  }
  return `${bytes} bytes`;
}
