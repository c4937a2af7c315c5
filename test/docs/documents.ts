import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = path.resolve(fileURLToPath(import.meta.url), '../../..');

export interface Document {
  /** From the root of the checkout. */
  readonly path: string;
  readonly text: string;
}

/** A document of the project, from the root of the checkout. */
export function documentAt(file: string): Document {
  return { path: file, text: readFileSync(path.join(ROOT, file), 'utf8') };
}

/** Everything that a reader of the project is given to read. */
export function allDocuments(): readonly Document[] {
  const docs = readdirSync(path.join(ROOT, 'docs')).map((name) => `docs/${name}`);
  const others = ['README.md', 'CHANGELOG.md', 'bench/README.md', 'cluster-tests/README.md'];
  return [...others, ...docs.toSorted()]
    .filter((file) => file.endsWith('.md') && existsSync(path.join(ROOT, file)))
    .map(documentAt);
}

export interface Fence {
  readonly language: string;
  readonly body: string;
}

const FENCE = /^```([a-z]*)\n([\s\S]*?)^```$/gm;

/** The fenced blocks of a document. */
export function fencesOf(text: string): readonly Fence[] {
  return [...text.matchAll(FENCE)].map(([, language = '', body = '']) => ({ language, body }));
}

/** What stands between single backticks, outside of fences. */
export function codeSpansOf(text: string): readonly string[] {
  return [...text.replaceAll(FENCE, '').matchAll(/`([^`\n]+)`/g)].map(([, span = '']) => span);
}

/** The rows of the first table after a line that contains `heading`, each as its cells; without head and rule. */
export function tableAfter({ path: file, text }: Document, heading: string): readonly (readonly string[])[] {
  const start = text.indexOf(heading);
  if (start === -1) throw new Error(`${file} has no ${heading}`);
  const lines = text.slice(start).split('\n');
  const first = lines.findIndex((line) => line.startsWith('|'));
  const after = lines.slice(first);
  const length = after.findIndex((line) => !line.startsWith('|'));
  return after.slice(2, length === -1 ? undefined : length).map(cellsOf);
}

export function cellsOf(line: string): readonly string[] {
  return line
    .split('|')
    .slice(1, -1)
    .map((cell) => cell.trim());
}
