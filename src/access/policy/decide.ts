import type { CommandBody, CommandKind } from '../../command/body.ts';
import type { SetPassword } from '../../proto/users.ts';
import { decideTransaction } from './decideTransaction.ts';
import { ALLOWED, type Decision, denied } from './decision.ts';
import type { Area } from './policy.ts';
import type { Rights } from './rights.ts';

/** Who asks. A `client` has shown a certificate of the cluster's authority, a `token` the secret of an access token, a `user` his password. */
export type AskerKind = 'client' | 'token' | 'user' | 'node';

export interface Asker {
  readonly kind: AskerKind;
  readonly rights: Rights;
  /** Of a user: his name. */
  readonly user?: string;
}

/**
 * `anyone`: it does nothing to others. `nodes`: what only nodes do for themselves. `users`: what only users do for themselves.
 * Else what the asker has to administer.
 */
type Requirement = 'anyone' | 'nodes' | 'users' | Area;

/** What is judged by the names or the user that it is about. */
type JudgedByContent = 'transaction' | 'setPassword';

const REQUIREMENTS: Readonly<Record<Exclude<CommandKind, JudgedByContent>, Requirement>> = {
  registerClient: 'anyone',
  closeClient: 'anyone',
  compact: 'cluster',
  bootstrap: 'nodes',
  createToken: 'cluster',
  useToken: 'nodes',
  advanceTime: 'nodes',
  revokeToken: 'cluster',
  beginKeyChange: 'keys',
  confirmKeyChange: 'keys',
  abortKeyChange: 'keys',
  noteKeyChange: 'nodes',
  rotateAuthority: 'keys',
  switchAuthority: 'nodes',
  finishAuthorityRotation: 'keys',
  putPolicy: 'access',
  deletePolicy: 'access',
  createAccessToken: 'access',
  revokeAccessToken: 'access',
  // Each of its reads by itself, on the state that it reads.
  readValues: 'anyone',
  noteAudit: 'nodes',
  setAuditSettings: 'audit-settings',
  checkpointAudit: 'nodes',
  setAlerts: 'audit-settings',
  noteAlerts: 'nodes',
  noteTokenUse: 'nodes',
  createUser: 'access',
  deleteUser: 'access',
  setUserRoles: 'access',
  login: 'users',
  endSession: 'users',
  resetAdmin: 'nodes',
};

/**
 * Whether somebody may have this done. Pure: the same arguments give the same answer on every node, before a command is
 * proposed and where it is applied.
 */
export function decide(asker: Asker, body: CommandBody): Decision {
  const { kind, rights } = asker;
  if (body.kind === 'transaction' || body.kind === 'setPassword') {
    if (kind === 'node') return notFor(kind, body);
    return body.kind === 'transaction'
      ? decideTransaction(rights, body.transaction)
      : decidePassword(asker, body.set);
  }
  const requirement = REQUIREMENTS[body.kind];
  if (requirement === 'nodes') return kind === 'node' ? ALLOWED : notFor(kind, body);
  if (kind === 'node') return notFor(kind, body);
  if (requirement === 'users') return kind === 'user' ? ALLOWED : denied(`a ${kind} has no session`);
  return requirement === 'anyone' ? ALLOWED : decideArea(rights, requirement);
}

function notFor(asker: AskerKind, { kind }: CommandBody): Decision {
  return denied(`a ${asker} may not ask for ${kind}`);
}

/** Nobody sets his own who does not know it: whoever has got hold of a session must not come to keep it. */
function decidePassword({ rights, user }: Asker, { name, shownGeneration }: SetPassword): Decision {
  if (user === name) {
    return shownGeneration > 0 ? ALLOWED : denied('the own password is changed by who shows it', 'name');
  }
  return shownGeneration === 0
    ? decideArea(rights, 'access')
    : denied('that password is not his own', 'name');
}

/** Whether somebody may administer this. */
export function decideArea(rights: Rights, area: Area): Decision {
  return rights.administers(area) ? ALLOWED : denied(`no role allows admin: ${area}`);
}
