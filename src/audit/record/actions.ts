/** What an audit record can be about. Part of the stored format and of the export: words are added, never changed. */
export const AUDIT_ACTIONS = [
  'kv.put',
  'kv.delete',
  'kv.reveal',
  'kv.read',
  'kv.list',
  'kv.compare',
  'kv.transaction',
  'kv.compact',
  'access.denied',
  'access.login',
  'access.logout',
  'user.create',
  'user.delete',
  'user.set-password',
  'user.set-roles',
  'user.reset',
  'policy.put',
  'policy.delete',
  'token.create',
  'token.revoke',
  'cluster.init',
  'member.join',
  'member.change',
  'member.promote',
  'member.demote',
  'member.remove',
  'leadership.transfer',
  'member.refused',
  'member.fenced',
  'join-token.create',
  'join-token.revoke',
  'keys.begin',
  'keys.confirm',
  'keys.abort',
  'keys.note',
  'keys.activate',
  'keys.retire',
  'authority.rotate',
  'authority.switch',
  'authority.finish',
  'audit.settings',
  'audit.checkpoint',
  'audit.alerts',
  'alert.raised',
  'alert.undelivered',
  'token.new-address',
  'certificate.renew',
] as const;
export type AuditAction = (typeof AUDIT_ACTIONS)[number];

export const ALERT_ACTION: AuditAction = 'alert.raised';

/** An alert that the webhook refuses for good. */
export const UNDELIVERED_ACTION: AuditAction = 'alert.undelivered';

const CHANGES_OF_AUDIT: ReadonlySet<string> = new Set<AuditAction>(['audit.settings', 'audit.alerts']);

/**
 * What a rule has found; and, whatever the rules are, that the audit or the rules were changed: whoever changes them could change first
 * what would tell of it.
 */
export function isAlert({ action, result }: { readonly action: string; readonly result: string }): boolean {
  return action === ALERT_ACTION || (CHANGES_OF_AUDIT.has(action) && result === 'OK');
}

/** What a record of a denial has as its result. */
export const DENIALS: ReadonlySet<string> = new Set(['PERMISSION_DENIED', 'UNAUTHENTICATED']);

/** What a record of a token's use says, when it was not its first one. */
export const ANOTHER_ADDRESS = 'another address';
