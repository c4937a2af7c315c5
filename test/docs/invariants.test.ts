import { describe, expect, it } from 'vitest';
import { filesIn } from '../tidy/sourceTree.ts';
import { cellsOf, documentAt } from './documents.ts';

const PAGE = documentAt('docs/invariants.md');
const ROWS = PAGE.text
  .split('\n')
  .filter((line) => /^\| I\d+ \|/.test(line))
  .map(cellsOf);
const TEXT = new Map(filesIn(['src', 'test', 'cluster-tests']).map((file) => [file.path, file.text]));

describe('docs/invariants.md', () => {
  it('has every number that the code uses', () => {
    const used = [...TEXT]
      .filter(([file]) => !file.startsWith('test/docs/'))
      .flatMap(([, text]) => [...text.matchAll(/\bI(\d+)\b|[Ii]nvariants? (\d+)\b/g)])
      .map(([, short, long]) => `I${short ?? long}`);
    const listed = new Set(ROWS.map(([number]) => number));
    expect(ROWS.length).toBe(listed.size);
    expect([...new Set(used)].filter((number) => !listed.has(number))).toEqual([]);
  });

  it('says core of what is asserted, and only of that', () => {
    const wrong = ROWS.flatMap(([number = '', , where = '']) => {
      const [core = ''] = where.startsWith('core:') ? where.split(';') : [];
      return [...core.matchAll(/`([^`]+)`/g)]
        .map(([, file = '']) => file)
        .filter((file) => !new RegExp(`['\`]${number}\\b`).test(TEXT.get(file) ?? ''))
        .map((file) => `${number}: ${file}`);
    });
    expect(wrong).toEqual([]);
  });

  it.each([
    ['core', /^test\/replication\/raft\/(?:oracle|cluster|simulation\.test)\.ts$/],
    ['cluster', /^test\/simulation\//],
  ])('says %s simulation only of what that one looks at', (which, files) => {
    const text = [...TEXT].flatMap(([file, content]) => (files.test(file) ? [content] : [])).join('\n');
    const named = ROWS.filter(([, , , test = '']) => test.includes(`${which} simulation`));
    expect(named.length).toBeGreaterThan(10);
    const numbers = named.map(([number = '']) => number);
    expect(numbers.filter((number) => !new RegExp(`\\b${number}\\b`).test(text))).toEqual([]);
  });

  it('says which simulation', () => {
    const tests = ROWS.map(([, , , test = '']) => test.replaceAll(/`[^`]*`/g, ''));
    const either = tests.filter((test) =>
      /(?<!core |cluster )simulation\b|(?<!both )simulations\b/.test(test),
    );
    expect(either).toEqual([]);
  });

  it('names tests that are there', () => {
    const named = [...PAGE.text.matchAll(/`((?:test|cluster-tests)\/[^`]+\.ts)`(?:: ([^|;]+))?/g)];
    expect(named.length).toBeGreaterThan(50);
    const missing = named
      .map(([, file = '', title]) => ({ file, title: title?.trim().replace(/\.$/, '') }))
      .filter(({ file, title }) => {
        const text = TEXT.get(file)?.replaceAll("\\'", "'");
        return text === undefined || (title !== undefined && !text.includes(title));
      });
    expect(missing).toEqual([]);
  });
});
