import { readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { codeOnly } from './sourceText.ts';

export const ROOT = path.resolve(fileURLToPath(import.meta.url), '../../..');

export interface SourceFile {
  /** From the root of the checkout, with `/`. */
  readonly path: string;
  readonly text: string;
  /** The text without comments and literals, every line in its place. */
  readonly code: string;
}

const OTHER_PEOPLES = new Set(['node_modules', 'testdata']);

function* walk(folder: string): Generator<string> {
  const found = statSync(path.join(ROOT, folder), { throwIfNoEntry: false });
  if (found?.isFile() === true) yield folder;
  if (found?.isDirectory() !== true) return;
  for (const name of readdirSync(path.join(ROOT, folder)).toSorted()) {
    if (!OTHER_PEOPLES.has(name)) yield* walk(`${folder}/${name}`);
  }
}

/** The files below these folders (or these files themselves) that end as given; what does not exist has none. */
export function filesIn(
  places: readonly string[],
  endings: readonly string[] = ['.ts', '.mjs'],
): readonly SourceFile[] {
  return places
    .flatMap((place) => [...walk(place)])
    .filter((file) => endings.some((ending) => file.endsWith(ending)))
    .map((file) => {
      const text = readFileSync(path.join(ROOT, file), 'utf8');
      return { path: file, text, code: /\.(?:ts|mjs)$/.test(file) ? codeOnly(text) : text };
    });
}

/** All code of the project. */
export const CODE_PLACES: readonly string[] = ['src', 'test', 'cluster-tests', 'bench', 'scripts', 'deploy'];
