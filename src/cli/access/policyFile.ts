import { z } from 'zod';
import type { Policy } from '../../client/index.ts';
import { readYamlFile } from '../yamlFile.ts';

const RULE = z.strictObject({ path: z.string(), capabilities: z.array(z.string()) });
const POLICY = z.strictObject({
  role: z.string(),
  rules: z.array(RULE).default([]),
  admin: z.array(z.string()).default([]),
});

/**
 * The policy of a YAML file. What its words and paths mean, the cluster says.
 * @throws HoldfastError FILE_UNREADABLE, TOO_LARGE, INVALID_ARGUMENT naming the line or the field
 */
export function readPolicyFile(path: string): Policy {
  return readYamlFile(path, {
    shape: POLICY,
    what: 'a policy',
    hint: 'it has role, rules (each with path and capabilities) and admin, and nothing else',
  });
}
