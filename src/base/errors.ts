/**
 * The closed list of error codes. Codes are stable; messages are for people and may change.
 * `retry` tells a client what it may do by itself:
 *   no       the answer stands; nothing was changed
 *   safe     not applied; may be sent again, here or to another node
 *   same-id  may or may not have been applied; may be sent again only under the same request id
 */
export const ERROR_CODES = {
  // what the caller sent
  INVALID_ARGUMENT: { retry: 'no', meaning: 'a field of the request is not acceptable' },
  NOT_FOUND: { retry: 'no', meaning: 'what the request names does not exist' },
  AUDIT_TAMPERED: { retry: 'no', meaning: 'audit records are not as they were written' },
  IN_USE: { retry: 'no', meaning: 'what the request would remove is still used' },
  TOO_LARGE: { retry: 'no', meaning: 'a value, request or transaction is over its limit' },
  COMPACTED: { retry: 'no', meaning: 'the revision or audit record asked for is no longer kept' },
  FUTURE_REVISION: { retry: 'no', meaning: 'the revision asked for does not exist yet' },
  PURGED: { retry: 'no', meaning: 'the value was removed from history on purpose' },
  REQUEST_FORGOTTEN: {
    retry: 'no',
    meaning: 'the answer to this request id is no longer kept; it is never applied again',
  },
  REQUEST_MISMATCH: { retry: 'no', meaning: 'the request id was used before with another body' },
  PERMISSION_DENIED: { retry: 'no', meaning: 'the principal may not do this' },
  UNAUTHENTICATED: { retry: 'no', meaning: 'the connection proves no identity' },
  // the cluster's situation
  NOT_LEADER: { retry: 'safe', meaning: 'only the leader can answer this; see the leader hint' },
  NO_LEADER: { retry: 'safe', meaning: 'no leader is known' },
  OVERLOADED: { retry: 'safe', meaning: 'a bound is reached; try again later' },
  NO_SPACE: { retry: 'no', meaning: 'the disk reserve is reached; free space on the node' },
  UNAVAILABLE: {
    retry: 'safe',
    meaning: 'the node cannot be reached or is starting or stopping; nothing was applied',
  },
  OUTCOME_UNKNOWN: { retry: 'same-id', meaning: 'the write may or may not have happened' },
  DEADLINE_EXCEEDED: {
    retry: 'same-id',
    meaning: 'no answer within the deadline; a write may or may not have happened',
  },
  CANCELLED: { retry: 'no', meaning: 'the caller gave up' },
  WATCH_BEHIND: {
    retry: 'safe',
    meaning: 'the watcher did not keep up; resume from the revision in the message',
  },
  // membership and trust
  MEMBER_UNKNOWN: { retry: 'no', meaning: 'no member has this id or name' },
  MEMBERSHIP_CHANGE_PENDING: { retry: 'safe', meaning: 'another membership change is not finished' },
  KEY_CHANGE_PENDING: { retry: 'no', meaning: 'the change of keys that is under way does not allow it' },
  QUORUM_AT_RISK: { retry: 'no', meaning: 'the change would leave no live quorum' },
  TOKEN_UNKNOWN: { retry: 'no', meaning: 'no join token has this id and secret' },
  TOKEN_EXPIRED: { retry: 'no', meaning: 'the join token is past its time' },
  TOKEN_USED: { retry: 'no', meaning: 'another node has used this join token' },
  TOKEN_MALFORMED: { retry: 'no', meaning: 'the join token is mistyped or cut' },
  NODE_ID_REUSED: {
    retry: 'no',
    meaning: 'a node id is used a second time: by a copy of a data directory, or after its node was removed',
  },
  CONTROL_KEY_MISMATCH: { retry: 'no', meaning: 'this node holds another control key than the cluster' },
  ENCRYPTION_MISMATCH: { retry: 'no', meaning: 'this node has another encryption setting than the cluster' },
  JWT_SECRET_MISMATCH: { retry: 'no', meaning: 'this node holds another JWT secret than the cluster' },
  CLUSTER_MISMATCH: { retry: 'no', meaning: 'this belongs to another cluster' },
  VERSION_UNSUPPORTED: { retry: 'no', meaning: 'a format or protocol version is not known here' },
  CERTIFICATE_INVALID: { retry: 'no', meaning: 'a certificate is expired, foreign, or for another purpose' },
  // this node
  CONFIG_INVALID: { retry: 'no', meaning: 'a setting is unknown or not acceptable' },
  KEY_FILE_INVALID: {
    retry: 'no',
    meaning: 'a key file is missing, malformed, or in an unsafe place or mode',
  },
  DATA_DIR_INVALID: {
    retry: 'no',
    meaning: 'the data directory is missing, not empty, in use, or of another node',
  },
  PORT_IN_USE: { retry: 'no', meaning: 'a listening address is taken' },
  CLOCK_INVALID: { retry: 'no', meaning: "this machine's clock cannot be right" },
  ENVELOPE_UNREADABLE: {
    retry: 'no',
    meaning: 'a sealed thing does not open: damaged, moved, or under another key',
  },
  ENVELOPE_VERSION_UNKNOWN: { retry: 'no', meaning: 'an envelope has a version this program does not know' },
  ENVELOPE_SUITE_UNKNOWN: { retry: 'no', meaning: 'an envelope has a suite this program does not know' },
  KEY_UNKNOWN: { retry: 'no', meaning: 'an envelope names a data key that is not in the keyring' },
  LOG_CORRUPT: { retry: 'no', meaning: 'the write-ahead log does not check out' },
  STATE_CORRUPT: { retry: 'no', meaning: 'the state on disk does not check out' },
  DISK_FAILED: { retry: 'no', meaning: 'the disk refused a read or a write; the node stops' },
  FILE_UNREADABLE: { retry: 'no', meaning: 'a file could not be read or written' },
  USAGE: { retry: 'no', meaning: 'the command line is wrong' },
  INTERNAL: { retry: 'same-id', meaning: 'a defect in holdfast; please report it' },
} as const satisfies Record<string, { retry: 'no' | 'safe' | 'same-id'; meaning: string }>;

export type ErrorCode = keyof typeof ERROR_CODES;

export interface ErrorDetails {
  /** The request field or setting at fault, as the caller spells it. */
  readonly field?: string;
  /** What to do about it, one sentence. */
  readonly hint?: string;
  /** Kept for logs, never sent to a caller. */
  readonly cause?: unknown;
}

/** The one error class that crosses a folder's border. Never carries a secret value. */
export class HoldfastError extends Error {
  override readonly name = 'HoldfastError';
  readonly code: ErrorCode;
  readonly field: string | undefined;
  readonly hint: string | undefined;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.field = details.field;
    this.hint = details.hint;
  }
}

/** Whether `value` is one of the closed codes (for codes that arrive over a wire). */
export function isErrorCode(value: string): value is ErrorCode {
  return Object.hasOwn(ERROR_CODES, value);
}

/** An error that came as fields, over a wire or in a stored outcome; empty ones are absent, an unknown code is INTERNAL. */
export function errorOfFields(fields: {
  readonly code: string;
  readonly message: string;
  readonly field: string;
  readonly hint: string;
}): HoldfastError {
  const code = isErrorCode(fields.code) ? fields.code : 'INTERNAL';
  return new HoldfastError(code, fields.message === '' ? ERROR_CODES[code].meaning : fields.message, {
    ...(fields.field === '' ? {} : { field: fields.field }),
    ...(fields.hint === '' ? {} : { hint: fields.hint }),
  });
}

/** Any throw as a HoldfastError: itself, or INTERNAL with the original kept as cause. */
export function toHoldfastError(thrown: unknown): HoldfastError {
  if (thrown instanceof HoldfastError) return thrown;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new HoldfastError('INTERNAL', message, { cause: thrown });
}

/** The `code` of a Node system error such as ENOENT, or undefined. */
export function systemErrorCode(thrown: unknown): string | undefined {
  if (!(thrown instanceof Error) || !('code' in thrown)) return undefined;
  return typeof thrown.code === 'string' ? thrown.code : undefined;
}
