import type { Policy } from '../../proto/storage.ts';
import { AREAS, type ParsedPolicy, parsePolicy } from './policy.ts';
import { CAPABILITIES } from './ruleTree.ts';
import { SECRET_NAMES } from './secretNames.ts';

/** Roles that every cluster has, and that cannot be changed. */
export const BUILT_IN_POLICIES: readonly Policy[] = [
  { role: 'admin', rules: [{ path: '**', capabilities: CAPABILITIES }], admin: AREAS },
  {
    // Keeps the cluster going, and may not read a secret.
    role: 'operator',
    rules: [
      { path: '**', capabilities: ['list', 'read', 'write', 'delete', 'rollback'] },
      { path: SECRET_NAMES, capabilities: ['list', 'delete', 'rollback'] },
    ],
    admin: ['cluster', 'keys', 'snapshots'],
  },
  {
    // Brings applications out: may have secrets used, and may not look at one.
    role: 'deployer',
    rules: [
      { path: '**', capabilities: ['list', 'read', 'write'] },
      { path: SECRET_NAMES, capabilities: ['list', 'read'] },
    ],
    admin: [],
  },
  {
    role: 'viewer',
    rules: [
      { path: '**', capabilities: ['list', 'read'] },
      { path: SECRET_NAMES, capabilities: ['list'] },
    ],
    admin: [],
  },
];

export const BUILT_IN_ROLES: ReadonlyMap<string, ParsedPolicy> = new Map(
  BUILT_IN_POLICIES.map((policy) => [policy.role, parsePolicy(policy)]),
);
