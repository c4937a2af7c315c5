import { readFileSync, statSync } from 'node:fs';
import { type Document, parseDocument } from 'yaml';
import type { z } from 'zod';
import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';

export interface YamlFileKind<Shape extends z.ZodType> {
  readonly shape: Shape;
  /** What it is, with its article: "a policy". */
  readonly what: string;
  /** What it has to hold. */
  readonly hint: string;
}

/**
 * What an operator has written, checked for its shape.
 * @throws HoldfastError FILE_UNREADABLE, TOO_LARGE, INVALID_ARGUMENT naming the line or the field
 */
export function readYamlFile<Shape extends z.ZodType>(
  path: string,
  kind: YamlFileKind<Shape>,
): z.output<Shape> {
  const refused = (problem: string, field: string): HoldfastError =>
    new HoldfastError('INVALID_ARGUMENT', `${path} is not ${kind.what}: ${field}: ${problem}`, {
      field,
      hint: kind.hint,
    });
  const document = parseDocument(textOf(path, kind), { prettyErrors: true, uniqueKeys: true });
  const [problem] = document.errors;
  if (problem !== undefined) throw refused(problem.message.split('\n')[0] ?? 'not YAML', 'file');
  const plain = plainOf(document);
  if (plain === undefined) throw refused('it has aliases', 'file');
  const parsed = kind.shape.safeParse(plain);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const field = issue === undefined ? '' : issue.path.map(String).join('.');
  throw refused(issue?.message ?? `not ${kind.what}`, field === '' ? 'file' : field);
}

/** Undefined: an alias stands for more than is written. */
function plainOf(document: Document): unknown {
  try {
    return document.toJS({ maxAliasCount: 0 }) as unknown;
  } catch {
    return undefined;
  }
}

function textOf(path: string, { what, hint }: Pick<YamlFileKind<z.ZodType>, 'what' | 'hint'>): string {
  try {
    if (statSync(path).size > LIMITS.policyFileBytesMax) {
      throw new HoldfastError('TOO_LARGE', `${path} is longer than ${LIMITS.policyFileBytesMax} bytes`, {
        field: 'file',
        hint: 'write less into one file',
      });
    }
    return readFileSync(path, 'utf8');
  } catch (cause) {
    if (cause instanceof HoldfastError) throw cause;
    throw new HoldfastError('FILE_UNREADABLE', `${path} cannot be read`, {
      field: 'file',
      hint: `name the file of ${what}: ${hint}`,
      cause,
    });
  }
}
