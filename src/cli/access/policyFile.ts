import { readFileSync, statSync } from 'node:fs';
import { type Document, parseDocument } from 'yaml';
import { z } from 'zod';
import { HoldfastError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import type { Policy } from '../../client/index.ts';

const RULE = z.strictObject({ path: z.string(), capabilities: z.array(z.string()) });
const POLICY = z.strictObject({
  role: z.string(),
  rules: z.array(RULE).default([]),
  admin: z.array(z.string()).default([]),
});

/**
 * The policy of a YAML file. What its words and paths mean, the cluster says.
 * @throws HoldfastError FILE_UNREADABLE, INVALID_ARGUMENT naming the line or the field
 */
export function readPolicyFile(path: string): Policy {
  const document = parseDocument(textOf(path), { prettyErrors: true, uniqueKeys: true });
  const [problem] = document.errors;
  if (problem !== undefined) throw notAPolicy(path, problem.message.split('\n')[0] ?? 'not YAML', 'file');
  const parsed = POLICY.safeParse(plain(document, path));
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const field = issue === undefined ? '' : issue.path.map(String).join('.');
  throw notAPolicy(path, issue?.message ?? 'not a policy', field === '' ? 'file' : field);
}

function plain(document: Document, path: string): unknown {
  try {
    return document.toJS({ maxAliasCount: 0 });
  } catch {
    throw notAPolicy(path, 'it has aliases', 'file');
  }
}

function textOf(path: string): string {
  try {
    if (statSync(path).size > LIMITS.policyFileBytesMax) {
      throw new HoldfastError('TOO_LARGE', `${path} is longer than ${LIMITS.policyFileBytesMax} bytes`, {
        field: 'file',
        hint: 'write a policy of its own for each role',
      });
    }
    return readFileSync(path, 'utf8');
  } catch (cause) {
    if (cause instanceof HoldfastError) throw cause;
    throw new HoldfastError('FILE_UNREADABLE', `the policy file ${path} cannot be read`, {
      field: 'file',
      hint: 'name a YAML file with role, rules and admin',
      cause,
    });
  }
}

function notAPolicy(path: string, what: string, field: string): HoldfastError {
  return new HoldfastError('INVALID_ARGUMENT', `${path} is not a policy: ${field}: ${what}`, {
    field,
    hint: 'it has role, rules (each with path and capabilities) and admin, and nothing else',
  });
}
