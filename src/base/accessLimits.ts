const KiB = 1024;
const MiB = 1024 * KiB;

/** The bounds of who may do what, and of what is recorded of it: part of LIMITS. */
export const ACCESS_LIMITS = {
  patternSegmentsMax: 64,
  passwordBytesMin: 8,
  passwordBytesMax: 1_024,
  passwordMemoryBytesMax: 256 * MiB,
  passwordHashBytesMax: 256,
  policiesMax: 256,
  policyRulesMax: 1_000,
  /** Of all roles of one access token or user: as many are gone over to judge what he does. */
  rulesTogetherMax: 4_000,
  /** Encoded. */
  policyBytesMax: 64 * KiB,
  policyWordsMax: 16,
  policyFileBytesMax: 2 * MiB,
  rolesMax: 16,
  rightsCachedMax: 256,
  accessTokensMax: 10_000,
  /** Tokens that this node does not know, and waits for the log with, at a time: anybody can think of one. */
  unknownTokensMax: 256,
  /** Audit records of one entry go into rows of about this size. */
  auditRowBytes: 1024 * 1024,
  /** A line of an export; a record is far shorter. */
  auditLineBytesMax: 64 * 1024,
  /** Reads of audited values that travel as one command. */
  valueReadsMax: 256,
  /** How often a page is recorded anew because rights or settings have changed meanwhile. */
  auditedReadAttempts: 4,
  /** What a node tells the audit at once, and how long a text in it may be. */
  auditNotesMax: 128,
  /** Denials that a node records one by one: at once, and each minute in the long run. */
  denialRecordsMax: 100,
  denialRecordsPerMinute: 60,
  denialFlushIntervalMs: 1_000,
  /** Audit records of one answer, how long they are about, and how many are looked at for it. */
  auditPageRecordsMax: 1_000,
  auditPageBytes: 1024 * 1024,
  auditPageScannedMax: 20_000,
  auditTextBytesMax: 1_024,
  /** Of who was denied something. */
  denialNameCharactersMax: 256,
  auditReadPatternsMax: 256,
  /** 90 days; and at most 10 years. */
  auditRetentionMs: 90 * 86_400_000,
  auditRetentionMsMax: 3_650 * 86_400_000,
  /** Rows of audit records that one checkpoint takes away. */
  auditPruneRowsMax: 10_000,
  auditSignatureBytesMax: 128,
  accessTokenTtlMsMax: 10 * 365 * 86_400_000,
  accessTokenKeptMs: 7 * 86_400_000,
  usersMax: 10_000,
  /** Sessions of one user that were ended before their time: with one more all of his sessions end. */
  endedSessionsMax: 64,
  sessionMs: 8 * 3_600_000,
  sessionLeewayMs: 30_000,
  sessionTokenBytesMax: 1_024,
  /** Of an Authorization header. */
  bearerBytesMax: 1_024,
  /** So much longer than the session could last is known that it was ended: log time is not the time of each node. */
  sessionEndedSpareMs: 3_600_000,
  loginRequestBytesMax: 8 * KiB,
  /** Of a connection that has shown nobody yet, at a time. */
  loginsPerStrangerMax: 4,
  loginFailuresFree: 5,
  loginAddressFailuresFree: 20,
  loginFailuresKeptMs: 900_000,
  loginFailuresRemembered: 10_000,
  loginWaitMsMin: 1_000,
  loginWaitMsMax: 60_000,
  adminResetRetryMs: 1_000,
  passwordsAtOnceMax: 2,
  passwordsWaitingMax: 32,
} as const;
