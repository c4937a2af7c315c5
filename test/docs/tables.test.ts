import { describe, expect, it } from 'vitest';
import { ERROR_CODES } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { environmentName, SETTINGS } from '../../src/node/settings.ts';
import { allDocuments, documentAt, tableAfter } from './documents.ts';

describe('the table of errors', () => {
  it('has every code, with its retry and its meaning, and something to do', () => {
    const rows = tableAfter(documentAt('docs/operations.md'), '## Errors');
    const expected = Object.entries(ERROR_CODES).map(([code, { retry, meaning }]) => [
      `\`${code}\``,
      retry,
      meaning,
    ]);
    expect(rows.map((row) => row.slice(0, 3))).toEqual(expected);
    expect(rows.filter((row) => (row[3] ?? '') === '')).toEqual([]);
  });
});

const UNIT = new Map([
  ['KiB', 1024],
  ['MiB', 1024 ** 2],
  ['GiB', 1024 ** 3],
  ['minutes', 60_000],
  ['hour', 3_600_000],
  ['days', 86_400_000],
]);

function numberOf(text: string): number {
  const [number = '', unit] = text.split(' ');
  return Number(number.replaceAll(',', '')) * (unit === undefined ? 1 : (UNIT.get(unit) ?? Number.NaN));
}

describe('the table of limits', () => {
  const rows = tableAfter(documentAt('README.md'), '## Limits');

  it.each(rows)('%s: %s', (_what, shown, name) => {
    const limits: Readonly<Record<string, number>> = LIMITS;
    expect(numberOf(shown ?? '')).toBe(limits[(name ?? '').replaceAll('`', '')]);
  });

  it('has what a user meets', () => {
    const names = rows.map((row) => row[2]);
    expect(names).toEqual(expect.arrayContaining(['`keyBytesMax`', '`valueBytesMax`', '`requestBytesMax`']));
  });
});

describe('environment variables', () => {
  it('that are named are known', () => {
    const configuration = documentAt('src/node/configuration.ts').text;
    const known = new Set([
      ...Object.values(SETTINGS).map(({ flag }) => environmentName(flag)),
      ...[...configuration.matchAll(/'(HOLDFAST_\w+)'/g)].map(([, name]) => name),
    ]);
    const named = allDocuments().flatMap(({ text }) =>
      [...text.matchAll(/\bHOLDFAST_[A-Z_]*[A-Z]\b/g)].map(([name]) => name),
    );
    expect(named.length).toBeGreaterThan(10);
    expect(named.filter((name) => !known.has(name))).toEqual([]);
  });
});
