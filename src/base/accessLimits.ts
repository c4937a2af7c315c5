import { assert } from './assert.ts';

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
  /** Names that the reads of one command go over, of all that lie in their ranges. */
  valueReadVisitsMax: 4096,
  /** How often a page is recorded anew because rights or settings have changed meanwhile. */
  auditedReadAttempts: 4,
  /** What a node tells the audit at once, and how long a text in it may be. */
  auditNotesMax: 128,
  /** Denials that a node records one by one: at once, and each minute in the long run. */
  denialRecordsMax: 100,
  denialRecordsPerMinute: 60,
  /** Of them those that are kept for one principal. */
  denialRecordsEachMax: 25,
  denialRecordsEachPerMinute: 15,
  /** The same of those who have not shown who they are: they have their own, so that they take none of the others. */
  strangerDenialRecordsMax: 20,
  strangerDenialRecordsPerMinute: 20,
  /** Of them those that are kept for one address. */
  strangerDenialRecordsEachMax: 5,
  strangerDenialRecordsEachPerMinute: 5,
  denialFlushIntervalMs: 1_000,
  /** How long a node that stops waits for those of its last second to stand. */
  denialStopMs: 1_000,
  /** Audit records of one answer, how long they are about, and how many are looked at for it. */
  auditPageRecordsMax: 1_000,
  auditPageBytes: 1024 * 1024,
  auditPageScannedMax: 20_000,
  auditTextBytesMax: 1_024,
  /** Of the host of a webhook, in a record. */
  auditHostCharactersMax: 255,
  /** How often the chain is gone over from its beginning because records have gone meanwhile. */
  auditWalkAttempts: 4,
  /** Of who was denied something. */
  denialNameCharactersMax: 256,
  auditReadPatternsMax: 256,
  /** How often a command that changes a part of the settings begins again because somebody else has changed them. */
  auditSettingsAttempts: 4,
  /** 90 days; and at most 10 years. */
  auditRetentionMs: 90 * 86_400_000,
  auditRetentionMsMin: 86_400_000,
  auditRetentionMsMax: 3_650 * 86_400_000,
  /** How long after it was set a shorter retention comes into force. */
  auditShorteningDelayMs: 7 * 86_400_000,
  /** Rows of audit records that one checkpoint takes away. */
  auditPruneRowsMax: 10_000,
  auditSignatureBytesMax: 128,
  /** That a token is used from where it was used before is noted so often; hosts that are known of it. */
  tokenUseNotedMs: 300_000,
  tokenAddressesMax: 16,
  /** Uses that wait to be noted on a node, and how many go out in one turn. */
  tokenUsesWaitingMax: 1_000,
  tokenUsesAtOnceMax: 32,
  alertRulesMax: 64,
  /** Principals or denials that a rule counts, and how long it counts them. */
  alertCountMax: 1_000,
  alertWithinMsMax: 7 * 86_400_000,
  alertUrlBytesMax: 1_024,
  alertSecretBytesMin: 16,
  alertSecretBytesMax: 256,
  /** Of one rule: principals, addresses or secrets that are counted at once; the one that was quiet longest goes first. */
  alertSubjectsMax: 4_096,
  /** One that has no time of its own says the same of the same principal so often at most. */
  alertRepeatMs: 3_600_000,
  /** Of each tick: how long audit records are gone over; and after how many of them it is noted that there was nothing. */
  alertSliceMs: 100,
  alertCursorRecordsMax: 20_000,
  alertTickMs: 250,
  /** Alerts that become records at once. */
  alertsAtOnceMax: 64,
  /** Alerts that wait for the webhook in memory; the others are found again. */
  alertsWaitingMax: 256,
  webhookTimeoutMs: 10_000,
  /** So often a receiver says that it does not want an alert before the alerts behind it have their turn. */
  webhookRefusalsMax: 5,
  webhookRetryMsMin: 1_000,
  webhookRetryMsMax: 300_000,
  /** What goes to an audit sink at once; the second is when a batch is closed. */
  auditSinkBatchRecordsMax: 500,
  auditSinkBatchBytes: 1 * MiB,
  /** How often a sink that has caught up looks for more. */
  auditSinkPollMs: 500,
  /** How long a sink that fails is left alone: doubled each time. */
  auditSinkRetryMsMin: 1_000,
  auditSinkRetryMsMax: 60_000,
  /** For one batch to a server. */
  auditSinkTimeoutMs: 10_000,
  /** How long a node that stops waits for the batch that is under way, and then for its end. */
  auditSinkStopMs: 1_500,
  auditSinkAbandonMs: 500,
  auditSinkAnswerBytesMax: 64 * KiB,
  auditSinkRotateBytes: 100 * MiB,
  auditSinkRotateBytesMin: 1 * MiB,
  auditSinkRotateBytesMax: 1024 * 1024 * MiB,
  auditSinkSecretBytesMin: 16,
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
  /** How long a node that stops waits for a reset that is under way. */
  adminResetStopMs: 1_000,
  /** Of resets that were obeyed the latest, so that none of them is obeyed again. */
  adminResetsRemembered: 16,
  passwordsAtOnceMax: 2,
  passwordsWaitingMax: 32,
} as const;

// Of those who are known and of strangers; and of either a record that counts the rest.
assert(
  ACCESS_LIMITS.denialRecordsMax + ACCESS_LIMITS.strangerDenialRecordsMax + 2 <= ACCESS_LIMITS.auditNotesMax,
  'all denials that wait fit into a note',
);
assert(
  ACCESS_LIMITS.denialRecordsEachMax * 2 < ACCESS_LIMITS.denialRecordsMax &&
    ACCESS_LIMITS.denialRecordsEachPerMinute * 2 < ACCESS_LIMITS.denialRecordsPerMinute &&
    ACCESS_LIMITS.strangerDenialRecordsEachMax * 2 < ACCESS_LIMITS.strangerDenialRecordsMax &&
    ACCESS_LIMITS.strangerDenialRecordsEachPerMinute * 2 < ACCESS_LIMITS.strangerDenialRecordsPerMinute,
  'denials of two askers leave room for those of others',
);
