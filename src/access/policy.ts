import type { CommandKind } from '../command/body.ts';
import type { Principal } from '../proto/storage.ts';

/** What can be asked of the store: a command, or a read that needs none. */
export type Action = CommandKind | 'read' | 'watch' | 'changeMembers';

/** What an action touches. Keys are latin-1 strings; an empty `end` is no bound. */
export type Resource =
  | { readonly kind: 'store' }
  | { readonly kind: 'keys'; readonly start: string; readonly end: string };

export type Decision = { readonly allowed: true } | { readonly allowed: false; readonly reason: string };

export const STORE: Resource = { kind: 'store' };

const ALLOWED: Decision = { allowed: true };

/** What a node may ask for itself; everything else it only carries for others. */
const NODE_ACTIONS: ReadonlySet<Action> = new Set<Action>([
  'bootstrap',
  'useToken',
  'advanceTime',
  'noteKeyChange',
  'switchAuthority',
]);
/** What only nodes say, of themselves. */
const NOT_FOR_CLIENTS: ReadonlySet<Action> = new Set<Action>(['noteKeyChange']);

/** Who may do what, by the kind of principal. */
const RULES: ReadonlyMap<string, (action: Action) => boolean> = new Map([
  ['client', (action: Action) => !NOT_FOR_CLIENTS.has(action)],
  ['node', (action: Action) => NODE_ACTIONS.has(action)],
]);

/**
 * Whether a principal may do this. Pure: the same arguments give the same answer on every node. A client whom the
 * cluster's authority has certified may do everything; a finer resource does not change that yet.
 */
export function decide(
  principal: Principal | null | undefined,
  action: Action,
  _resource: Resource,
): Decision {
  if (!principal) return { allowed: false, reason: 'nobody asks' };
  const rule = RULES.get(principal.kind);
  if (rule === undefined) return { allowed: false, reason: 'this kind of principal is not known' };
  return rule(action) ? ALLOWED : { allowed: false, reason: `a ${principal.kind} may not ask for ${action}` };
}
