import { HoldfastError } from '../base/errors.ts';
import {
  type AlertSettings,
  type AuditCheckpoint,
  type AuditRecord,
  type AuditSettings,
  type NoteAlerts,
  type ValueRead,
} from '../proto/audit.ts';
import type {
  BeginKeyChange,
  Bootstrap,
  Command,
  ConfirmKeyChange,
  CreateToken,
  NoteKeyChange,
  Policy,
  RotateAuthority,
  RotationStep,
  Transaction,
  UseToken,
} from '../proto/storage.ts';
import type {
  CreateAccessToken,
  CreateUser,
  Login,
  NoteTokenUse,
  ResetAdmin,
  SetPassword,
  SetUserRoles,
} from '../proto/users.ts';

/** What a command asks for. */
export type CommandBody =
  | { readonly kind: 'transaction'; readonly transaction: Transaction }
  | { readonly kind: 'registerClient' }
  | { readonly kind: 'closeClient'; readonly clientId: number }
  | { readonly kind: 'compact'; readonly revision: number }
  | { readonly kind: 'bootstrap'; readonly bootstrap: Bootstrap }
  | { readonly kind: 'createToken'; readonly createToken: CreateToken }
  | { readonly kind: 'useToken'; readonly useToken: UseToken }
  | { readonly kind: 'advanceTime' }
  | { readonly kind: 'revokeToken'; readonly id: string }
  | { readonly kind: 'beginKeyChange'; readonly begin: BeginKeyChange }
  | { readonly kind: 'confirmKeyChange'; readonly confirm: ConfirmKeyChange }
  | { readonly kind: 'abortKeyChange'; readonly id: string }
  | { readonly kind: 'noteKeyChange'; readonly note: NoteKeyChange }
  | { readonly kind: 'rotateAuthority'; readonly next: RotateAuthority }
  | { readonly kind: 'switchAuthority'; readonly step: RotationStep }
  | { readonly kind: 'finishAuthorityRotation'; readonly step: RotationStep }
  | { readonly kind: 'putPolicy'; readonly policy: Policy }
  | { readonly kind: 'deletePolicy'; readonly role: string }
  | { readonly kind: 'createAccessToken'; readonly create: CreateAccessToken }
  | { readonly kind: 'revokeAccessToken'; readonly id: string }
  | { readonly kind: 'readValues'; readonly reads: readonly ValueRead[] }
  | { readonly kind: 'noteAudit'; readonly records: readonly AuditRecord[] }
  | {
      readonly kind: 'setAuditSettings';
      readonly settings: AuditSettings;
      /** Null: whatever they are. */
      readonly expected: AuditSettings | null;
    }
  | { readonly kind: 'checkpointAudit'; readonly checkpoint: AuditCheckpoint }
  | { readonly kind: 'setAlerts'; readonly alerts: AlertSettings }
  | { readonly kind: 'noteAlerts'; readonly note: NoteAlerts }
  | { readonly kind: 'noteTokenUse'; readonly use: NoteTokenUse }
  | { readonly kind: 'createUser'; readonly create: CreateUser }
  | { readonly kind: 'deleteUser'; readonly name: string }
  | { readonly kind: 'setPassword'; readonly set: SetPassword }
  | { readonly kind: 'setUserRoles'; readonly set: SetUserRoles }
  | { readonly kind: 'login'; readonly login: Login }
  | { readonly kind: 'endSession' }
  | { readonly kind: 'resetAdmin'; readonly reset: ResetAdmin };

export type CommandKind = CommandBody['kind'];

/** Of a command that gives none: refused, since no role has an empty name. */
const NO_POLICY: Policy = { role: '', rules: [], admin: [] };

/** Refused, since a checkpoint is of a record. */
const NO_CHECKPOINT: AuditCheckpoint = {
  sequence: 0,
  hash: Buffer.alloc(0),
  timeMs: 0,
  signature: Buffer.alloc(0),
};
/** Nothing is audited but what always is, and for ever. */
const NO_SETTINGS: AuditSettings = { reads: [], retentionMs: 0 };
const NO_ALERTS: AlertSettings = { rules: [], webhook: null };

const READERS: readonly ((command: Command) => CommandBody | null)[] = [
  ({ transaction }) => (transaction ? { kind: 'transaction', transaction } : null),
  ({ registerClient }) => (registerClient ? { kind: 'registerClient' } : null),
  ({ closeClient }) => (closeClient ? { kind: 'closeClient', clientId: closeClient.clientId } : null),
  ({ compact }) => (compact ? { kind: 'compact', revision: compact.revision } : null),
  ({ bootstrap }) => (bootstrap ? { kind: 'bootstrap', bootstrap } : null),
  ({ createToken }) => (createToken ? { kind: 'createToken', createToken } : null),
  ({ useToken }) => (useToken ? { kind: 'useToken', useToken } : null),
  ({ advanceTime }) => (advanceTime ? { kind: 'advanceTime' } : null),
  ({ revokeToken }) => (revokeToken ? { kind: 'revokeToken', id: revokeToken.id } : null),
  ({ beginKeyChange: begin }) => (begin ? { kind: 'beginKeyChange', begin } : null),
  ({ confirmKeyChange: confirm }) => (confirm ? { kind: 'confirmKeyChange', confirm } : null),
  ({ abortKeyChange: abort }) => (abort ? { kind: 'abortKeyChange', id: abort.id } : null),
  ({ noteKeyChange: note }) => (note ? { kind: 'noteKeyChange', note } : null),
  ({ rotateAuthority }) => (rotateAuthority ? { kind: 'rotateAuthority', next: rotateAuthority } : null),
  ({ switchAuthority }) => (switchAuthority ? { kind: 'switchAuthority', step: switchAuthority } : null),
  ({ finishAuthorityRotation: step }) => (step ? { kind: 'finishAuthorityRotation', step } : null),
  ({ putPolicy }) => (putPolicy ? { kind: 'putPolicy', policy: putPolicy.policy ?? NO_POLICY } : null),
  ({ deletePolicy }) => (deletePolicy ? { kind: 'deletePolicy', role: deletePolicy.role } : null),
  ({ createAccessToken: create }) => (create ? { kind: 'createAccessToken', create } : null),
  ({ revokeAccessToken }) =>
    revokeAccessToken ? { kind: 'revokeAccessToken', id: revokeAccessToken.id } : null,
  ({ readValues }) => (readValues ? { kind: 'readValues', reads: readValues.reads } : null),
  ({ noteAudit }) => (noteAudit ? { kind: 'noteAudit', records: noteAudit.records } : null),
  ({ setAuditSettings: set }) =>
    set
      ? { kind: 'setAuditSettings', settings: set.settings ?? NO_SETTINGS, expected: set.expected ?? null }
      : null,
  ({ checkpointAudit: at }) =>
    at ? { kind: 'checkpointAudit', checkpoint: at.checkpoint ?? NO_CHECKPOINT } : null,
  ({ setAlerts: set }) => (set ? { kind: 'setAlerts', alerts: set.settings ?? NO_ALERTS } : null),
  ({ noteAlerts: note }) => (note ? { kind: 'noteAlerts', note } : null),
  ({ noteTokenUse: use }) => (use ? { kind: 'noteTokenUse', use } : null),
  ({ createUser: create }) => (create ? { kind: 'createUser', create } : null),
  ({ deleteUser }) => (deleteUser ? { kind: 'deleteUser', name: deleteUser.name } : null),
  ({ setPassword: set }) => (set ? { kind: 'setPassword', set } : null),
  ({ setUserRoles: set }) => (set ? { kind: 'setUserRoles', set } : null),
  ({ login }) => (login ? { kind: 'login', login } : null),
  ({ endSession }) => (endSession ? { kind: 'endSession' } : null),
  ({ resetAdmin: reset }) => (reset ? { kind: 'resetAdmin', reset } : null),
];

/** The one body of a command. @throws HoldfastError INVALID_ARGUMENT when there is none, or more than one */
export function commandBody(command: Command): CommandBody {
  let body: CommandBody | null = null;
  for (const read of READERS) {
    const found = read(command);
    if (found === null) continue;
    if (body !== null) throw invalid('a command has two bodies');
    body = found;
  }
  if (body === null) throw invalid('a command has no body that this program knows');
  return body;
}

function invalid(message: string): HoldfastError {
  return new HoldfastError('INVALID_ARGUMENT', message, { field: 'command' });
}
