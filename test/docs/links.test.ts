import { existsSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import packageJson from '../../package.json' with { type: 'json' };
import { allDocuments, codeSpansOf, documentAt, fencesOf, ROOT } from './documents.ts';

/** How a heading is called in a link. */
function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
    .trim()
    .replaceAll(' ', '-');
}

/** Why a link leads nowhere, or null. */
function linkProblem(from: string, target: string): string | null {
  if (/^[a-z]+:/.test(target)) return null;
  const [file = '', anchor] = target.split('#');
  const resolved = file === '' ? from : path.posix.join(path.posix.dirname(from), file);
  if (!existsSync(path.join(ROOT, resolved))) return `${from}: ${target} is not there`;
  if (anchor === undefined) return null;
  const headings = [...documentAt(resolved).text.matchAll(/^#+ (.*)$/gm)].map(([, text = '']) =>
    anchorOf(text),
  );
  return headings.includes(anchor) ? null : `${from}: ${target} names no heading`;
}

it('leads somewhere, every link', () => {
  const problems = allDocuments().flatMap(({ path: from, text }) =>
    [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => linkProblem(from, target)),
  );
  expect(problems.length).toBeGreaterThan(15);
  expect(problems.filter((problem) => problem !== null)).toEqual([]);
});

it.each(['docs/nowhere.md', 'LICENSE2', 'README.md#nothing'])('would find %s', (target) => {
  expect(linkProblem('README.md', target)).not.toBeNull();
});

const SCRIPTS: ReadonlySet<string> = new Set(Object.keys(packageJson.scripts));

/** The npm scripts that a text asks for. */
function scriptsIn(text: string): readonly string[] {
  const found = [...text.matchAll(/\bnpm (?:run ([a-z:]+)|(start|test)\b)/g)];
  return found.map(([, run, short]) => run ?? short ?? '');
}

it('exists, every npm script that is named', () => {
  const named = allDocuments().flatMap(({ text }) =>
    [...codeSpansOf(text), ...fencesOf(text).map(({ body }) => body)].flatMap(scriptsIn),
  );
  expect(named).toEqual(expect.arrayContaining(['start', 'test', 'build', 'test:cluster']));
  expect(named.filter((script) => !SCRIPTS.has(script))).toEqual([]);
});

/** Where a file that is named lies; sources are also named without `src/`. Null: the text names no file. */
function placesOf(span: string): readonly string[] | null {
  if (/^(?:src|test|cluster-tests|bench|scripts|deploy|proto|\.ci)\/[\w./-]+$/.test(span)) return [span];
  return /^[a-z]+\/[\w/]+\.ts$/i.test(span) ? [`src/${span}`, `src/replication/${span}`] : null;
}

it('exists, every file of the project that is named', () => {
  const named = allDocuments().flatMap(({ path: from, text }) =>
    codeSpansOf(text).flatMap((span) => {
      const places = placesOf(span);
      return places === null ? [] : [{ from, span, places }];
    }),
  );
  expect(named.length).toBeGreaterThan(100);
  const missing = named.filter(({ places }) => !places.some((place) => existsSync(path.join(ROOT, place))));
  expect(missing.map(({ from, span }) => `${from}: ${span}`)).toEqual([]);
});
