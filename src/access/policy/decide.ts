import type { CommandBody, CommandKind } from '../../command/body.ts';
import { decideTransaction } from './decideTransaction.ts';
import { ALLOWED, type Decision, denied } from './decision.ts';
import type { Area } from './policy.ts';
import type { Rights } from './rights.ts';

/** Who asks. A `client` has shown a certificate of the cluster's authority, a `token` the secret of an access token. */
export type AskerKind = 'client' | 'token' | 'node';

export interface Asker {
  readonly kind: AskerKind;
  readonly rights: Rights;
}

/** `names`: by the names that it touches. `anyone`: it does nothing to others. `nodes`: what only nodes do for themselves. */
type Requirement = 'names' | 'anyone' | 'nodes' | Area;

const REQUIREMENTS: Readonly<Record<CommandKind, Requirement>> = {
  transaction: 'names',
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
  setAuditSettings: 'audit',
  checkpointAudit: 'nodes',
};

/**
 * Whether somebody may have this done. Pure: the same arguments give the same answer on every node, before a command is
 * proposed and where it is applied.
 */
export function decide({ kind, rights }: Asker, body: CommandBody): Decision {
  const requirement = REQUIREMENTS[body.kind];
  if (requirement === 'nodes' || kind === 'node') {
    if (requirement === 'nodes' && kind === 'node') return ALLOWED;
    return denied(`a ${kind} may not ask for ${body.kind}`);
  }
  if (requirement === 'anyone') return ALLOWED;
  if (body.kind === 'transaction') return decideTransaction(rights, body.transaction);
  return decideArea(rights, requirement === 'names' ? 'cluster' : requirement);
}

/** Whether somebody may administer this. */
export function decideArea(rights: Rights, area: Area): Decision {
  return rights.administers(area) ? ALLOWED : denied(`no role allows admin: ${area}`);
}
