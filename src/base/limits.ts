import { ACCESS_LIMITS } from './accessLimits.ts';
import { assert } from './assert.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
const GiB = 1024 * MiB;

/** Every bound in holdfast. The unit is the last word of the name; relations are asserted below. */
export const LIMITS = {
  // requests
  keyBytesMax: 1 * KiB,
  valueBytesMax: 2 * MiB,
  requestBytesMax: 4 * MiB,
  transactionOperationsMax: 128,
  transactionRecordsMax: 20_000,
  transactionVisitsMax: 50_000,
  transactionValuesMax: 4096,
  /** Names that lists and counts go over in one turn of the event loop, or one of them alone. */
  scanNamesPerTurnMax: 50_000,
  pageKeysMax: 1_000,
  pageBytesMax: 4 * MiB,
  nameBytesMax: 256,
  addressBytesMax: 300,

  ...ACCESS_LIMITS,

  // exactly-once
  clientsMax: 10_000,
  /** Of one kind and name: whoever has a token, and no rights, must not take the ids of all others. */
  clientsPerPrincipalMax: 256,
  clientAnswersOutstandingMax: 1_024,
  clientAnswersBytesMax: 128 * MiB,
  clientIdleMs: 600_000,

  // watches
  watchesPerNodeMax: 10_000,
  watchBufferEventsMax: 1_000,
  watchBufferBytesMax: 8 * MiB,
  watchProgressIntervalMs: 5_000,

  // history
  historyRevisionsKept: 100_000,
  historyRevisionsMax: 1_000_000,
  historyAgeMs: 3_600_000,
  historyBytesMax: 4 * GiB,
  compactionStepRecordsMax: 2_000,

  // the way of a write
  entryBatchBytesMax: 1 * MiB,
  entryCommandsMax: 4_096,
  entryWideCommandsMax: 16,
  waitingCommandsMax: 16_384,
  waitingBytesMax: 64 * MiB,
  proposalsInFlightMax: 4,
  forwardPatienceMs: 3_000,
  waitingReadsMax: 65_536,
  requestTimeoutMs: 5_000,
  requestTimeoutMsMax: 600_000,
  sessionInFlightMax: 4_096,
  sessionInFlightBytesMax: 16 * MiB,
  sessionUnsentBytesMax: 16 * MiB,
  /** A frame of calls is cut here, so that a large call does not hold up what comes after it for long; one of answers goes out. */
  sessionCallFrameBytes: 512 * KiB,
  sessionAnswerFrameBytes: 1 * MiB,
  /** Answers that have been granted room and are kept in the queue until they go together. */
  sessionGrantedKeptMax: 256,
  waitingAnswerBytesMax: 512 * MiB,

  // replication
  tickMs: 50,
  heartbeatTicks: 2,
  electionTicksMin: 20,
  electionTicksMax: 40,
  termJumpMax: 2 ** 20,
  appendBytesMax: 2 * MiB,
  inFlightMessagesMax: 256,
  inFlightBytesMax: 8 * MiB,
  uncommittedBytesMax: 64 * MiB,
  pendingReadRoundsMax: 1_024,
  logTrailingEntries: 10_000,
  logTrailingBytes: 64 * MiB,
  logHeldEntries: 100_000,
  logHeldBytes: 256 * MiB,
  logBacklogBytesMax: 256 * MiB,
  votersMax: 7,
  membersMax: 16,
  learnerCatchUpEntriesMax: 1_000,
  applySliceMs: 5,
  readRoundsInFlightMax: 4,
  diskStallFatalMs: 10_000,

  // write-ahead log
  walSegmentBytes: 64 * MiB,
  walBatchBytesMax: 16 * MiB,
  walRecordBytesMax: 64 * MiB,
  walKeptAsideMax: 16,
  walWatermarkBusyMs: 1,
  walVerifyTurnBytes: 256 * KiB,

  // state on disk
  stateBatchRowsMax: 4_096,
  stateBatchBytesMax: 8 * MiB,
  stateGatherMs: 100,
  stateGatherBytes: 1 * MiB,
  valueCacheBytesMax: 64 * MiB,
  unflushedBytesMax: 128 * MiB,
  /** What is done with rows that are read together holds up everything else. */
  statePortionRows: 32,
  watchScanEventsMax: 2_000,
  watchDeliveryBytes: 1 * MiB,
  joinTokenKeptMs: 86_400_000,

  // comparing states
  stateCheckpointEntries: 256,
  stateCheckpointsKept: 64,
  stateCheckpointsTold: 4,
  stateCheckpointsTickMs: 1_000,
  stateIdleCheckpointMs: 1_000,
  stateUndecidedMs: 5_000,
  divergedStatesKept: 2,

  // what doctor asks of the disk
  diskFreeBytesMin: 1 * GiB,
  diskFreeBytesAdvised: 8 * GiB,
  diskReserveBytes: 256 * MiB,
  diskReserveBytesMin: 16 * MiB,
  diskReserveBytesMax: 1024 * GiB,
  diskCheckIntervalMs: 2_000,

  // reading again what is on disk
  scrubIntervalMs: 86_400_000,
  scrubIntervalMsMin: 60_000,
  scrubIntervalMsMax: 14 * 86_400_000,
  scrubFirstAfterMs: 300_000,
  scrubRowsPerSecond: 5_000,
  scrubBytesPerSecond: 16 * MiB,
  scrubBusyWaitMs: 1_000,

  // transport
  peerMessageBytesMax: 16 * MiB,
  peerQueueMessagesMax: 4_096,
  peerQueueBytesMax: 32 * MiB,
  peerWindowBytes: 4 * MiB,
  peerCallTimeoutMs: 10_000,
  peerConnectTimeoutMs: 3_000,
  peerHandshakeTimeoutMs: 5_000,
  peerReconnectMsMin: 100,
  peerReconnectMsMax: 1_000,
  peerKeepaliveMs: 10_000,
  peerKeepaliveTimeoutMs: 3_000,
  /** A second process of a member that has not asked for so long is gone: many times its wait between two attempts. */
  fencedCopyMs: 30_000,
  /** A process of a member that has said nothing for so long is gone, whatever of its connections looks open. */
  processSilentMs: 14_000,
  /** So long a member goes on to tell of a process that it heard, and another to mind it: some announcements. */
  processToldMs: 3_000,
  /** Members that have heard two processes of one node for so long at the same time: both are there. */
  processDoubtMsMax: 30_000,
  startJumpMax: 2 ** 20,
  refusalCharactersMax: 512,
  peerConnectionsMax: 256,
  peerHandshakesMax: 128,
  /** Of all nodes together, before they have proved themselves. */
  peerUnprovedConnectionsMax: 32,
  /** Of one node, before it has proved itself, and as many after that. */
  peerConnectionsPerNodeMax: 8,
  peerJudgeIntervalMs: 1_000,
  /** For the last status on a connection that is closed. */
  peerGoodbyeMs: 1_000,
  peerRequestBytesMax: 64 * KiB,
  proofStepBytesMax: 16 * KiB,
  peerStatementBytesMax: 12 * KiB,
  strangerConnectionsMax: 32,
  strangerConnectionAgeMs: 30_000,
  strangerMessageBytesMax: 64 * KiB,
  peerFrameBytesMax: 4 * MiB,
  peerFrameBytesAcceptedMax: 12 * MiB,
  rareLineIntervalMs: 60_000,
  rareLineKeysMax: 256,
  snapshotChunkBytes: 1 * MiB,
  snapshotPullDeadlineMs: 600_000,
  snapshotHeaderDeadlineMs: 30_000,
  snapshotChunkDeadlineMs: 30_000,
  snapshotSpacePauseMs: 10_000,
  snapshotsServedMax: 2,
  snapshotBytesMax: 64 * GiB,
  apiStreamsMax: 1_000,
  apiConnectionsMax: 4_096,
  /** Certificates that are known parsed: more distinct ones at one time cost a parse each, nothing else. */
  apiCertificatesCachedMax: 1_024,
  /** Connections whose TLS handshake is not finished, and for how long. */
  apiHandshakesMax: 128,
  apiHandshakeWithinMs: 5_000,
  apiUnprovedMax: 128,
  apiProofWithinMs: 10_000,
  apiJudgeIntervalMs: 1_000,
  peerStreamsMax: 100,
  apiSessionMemoryBytes: 256 * MiB,

  // envelopes and keys
  envelopeBytesMax: 64 * MiB,
  keyringKeysMax: 1_024,
  /** Retired data keys whose place in the log is remembered: no log reaches back beyond the last change. */
  keyringRetiredKept: 64,
  /** Control keys that were replaced and are remembered: as many as a node may hold beside the one in force. */
  keyringReplacedMax: 64,
  keyringBytesMax: 1 * MiB,
  keyFileBytesMax: 64 * KiB,
  controlKeysMax: 65,
  keyChangeStepMs: 250,
  /** Between two looks whether the key files still hold what this node runs with. */
  keyFileCheckMs: 10_000,
  /** Replaced control keys and JWT secrets whose fingerprints are remembered, so that every member gives them up. */
  replacedKeysRemembered: 64,
  rewriteRetryMs: 500,
  /** While something is left that only an operator can delete: between two looks at all files. */
  rewriteRetryMsMax: 10_000,
  /** Rows that are sealed anew before the space of the old ones is given back. */
  rewriteStretchBytes: 16 * MiB,
  /** Rows that are sealed anew and written together, and their bytes. */
  rewriteBatchRows: 256,
  rewriteBatchBytes: 256 * KiB,
  /** As long as it is slowed down by others itself, it rests longer too. */
  rewriteRestMsMax: 100,
  /** Without an entry for so long nobody is served. */
  rewriteQuietMs: 250,
  /** Between two looks at the space that is left. */
  rewriteRoomMs: 100,

  // trust
  joinTokenTtlMs: 3_600_000,
  joinTokenTtlMsMax: 7 * 86_400_000,
  joinTokensMax: 1_000,
  joinTokenTextBytesMax: 4 * KiB,
  certificateLifetimeMs: 365 * 86_400_000,
  authorityLifetimeMs: 10 * 365 * 86_400_000,
  authoritiesMax: 3,
  authorityTickMs: 500,
  csrBytesMax: 16 * KiB,
  joinTokenAddressesMax: 8,
  /** Of members, in a token that the cluster makes: enough to tell the joiner where to go. */
  joinTokenAddressesTold: 3,
  joinsInFlightMax: 16,
  joinRedirectsMax: 8,
  joinRetryDelayMs: 250,
  joinCallTimeoutMs: 10_000,
  certificateBytesMax: 16 * KiB,
  certificateNamesMax: 32,
  certificateNamesAddedMax: 24,
  certificateBackdateMs: 300_000,
  renewalsInFlightMax: 16,
  renewalCheckMsMin: 500,
  renewalCheckMsMax: 60_000,
  renewalRetryMsMin: 1_000,
  renewalRetryMsMax: 300_000,
  trustFileBytesMax: 64 * KiB,
  identityFileBytesMax: 16 * KiB,

  // time
  clockAheadMsMax: 10_000,
  clockApartMsAdvised: 500,
} as const;

assert(LIMITS.stateGatherBytes <= LIMITS.stateBatchBytesMax, 'what is gathered is one state batch');
assert(
  LIMITS.transactionRecordsMax < LIMITS.transactionVisitsMax,
  'what may be deleted at once may be gone over',
);
assert(
  LIMITS.peerHandshakesMax < LIMITS.peerConnectionsMax,
  'strangers in a handshake leave room for members',
);
assert(
  LIMITS.apiHandshakesMax + LIMITS.apiUnprovedMax < LIMITS.apiConnectionsMax / 2,
  'strangers leave room for clients',
);
assert(
  LIMITS.peerHandshakesMax +
    LIMITS.peerUnprovedConnectionsMax +
    LIMITS.strangerConnectionsMax +
    LIMITS.membersMax * 4 <=
    LIMITS.peerConnectionsMax,
  'whoever has proved nothing leaves room for all connections of members',
);
assert(
  LIMITS.membersMax * 2 <= LIMITS.peerUnprovedConnectionsMax,
  'all members may come back at once, each with both of its lanes',
);
assert(
  LIMITS.controlKeysMax * 2 * 80 < LIMITS.peerStatementBytesMax &&
    LIMITS.peerStatementBytesMax < LIMITS.proofStepBytesMax,
  'a statement with all fingerprints fits into a step',
);
assert(
  LIMITS.csrBytesMax + LIMITS.certificateNamesMax * 256 < LIMITS.peerRequestBytesMax,
  'a renewal with all hosts fits into a request of a peer',
);
// A full transaction must fit into a request, a request into a peer message, a message into a WAL record.
assert(
  LIMITS.valueBytesMax + LIMITS.keyBytesMax < LIMITS.requestBytesMax,
  'a largest put fits into a request',
);
assert(LIMITS.requestBytesMax < LIMITS.peerMessageBytesMax / 2, 'a largest request fits into a peer message');
assert(LIMITS.entryBatchBytesMax < LIMITS.peerMessageBytesMax / 2, 'an entry batch fits into a peer message');
assert(
  LIMITS.appendBytesMax + LIMITS.requestBytesMax < LIMITS.peerMessageBytesMax,
  'an append with one largest entry over its budget fits into a peer message',
);
assert(
  LIMITS.walBatchBytesMax + LIMITS.peerMessageBytesMax < LIMITS.walRecordBytesMax,
  'a batch is one WAL record',
);
assert(LIMITS.walRecordBytesMax <= LIMITS.walSegmentBytes, 'a WAL record fits into a segment');
assert(LIMITS.requestBytesMax < LIMITS.inFlightBytesMax, 'one largest entry can be in flight');
assert(
  LIMITS.inFlightBytesMax < LIMITS.uncommittedBytesMax,
  'the window fills before writes are turned away',
);
assert(
  LIMITS.unflushedBytesMax < LIMITS.logBacklogBytesMax,
  'a disk that is behind holds up apply before it holds up the log',
);
assert(
  LIMITS.logTrailingEntries < LIMITS.logHeldEntries && LIMITS.logTrailingBytes < LIMITS.logHeldBytes,
  'more of the log is held for members that catch up than for those that may come back',
);
assert(LIMITS.requestBytesMax < LIMITS.peerQueueBytesMax, 'one largest message fits into a peer queue');
assert(
  LIMITS.peerFrameBytesMax + LIMITS.appendBytesMax + LIMITS.requestBytesMax <
    LIMITS.peerFrameBytesAcceptedMax && LIMITS.peerFrameBytesAcceptedMax < LIMITS.peerMessageBytesMax,
  'a frame with one largest append over its budget is accepted, and fits into a peer message',
);
assert(
  LIMITS.electionTicksMin * LIMITS.tickMs < LIMITS.diskStallFatalMs,
  'a leader with a stalled disk steps down before it stops',
);
assert(LIMITS.pageBytesMax < LIMITS.peerMessageBytesMax, 'a page fits into a message');
assert(
  LIMITS.peerKeepaliveMs + LIMITS.peerKeepaliveTimeoutMs < LIMITS.processSilentMs,
  'a connection that is half open has ended before its process counts as gone',
);
assert(
  LIMITS.stateCheckpointsTickMs + LIMITS.peerReconnectMsMax < LIMITS.processToldMs,
  'what a member tells of a process holds until it tells of it again',
);
assert(
  LIMITS.heartbeatTicks * 5 < LIMITS.electionTicksMin,
  'several heartbeats fit into an election timeout',
);
assert(LIMITS.electionTicksMin < LIMITS.electionTicksMax, 'election timeouts are spread');
// base64url takes 4 characters for 3 bytes; 256 characters are left for the token's other parts.
assert(
  Math.ceil((LIMITS.joinTokenAddressesMax * (LIMITS.addressBytesMax + 1) * 4) / 3) + 256 <
    LIMITS.joinTokenTextBytesMax,
  'all addresses of a join token fit into it',
);
assert(
  LIMITS.joinTokenAddressesTold <= LIMITS.joinTokenAddressesMax,
  'a join token that the cluster makes is one that it takes',
);
// What a node listens on and advertises for either port, and the three names of loopback.
assert(
  LIMITS.certificateNamesAddedMax + 4 + 3 <= LIMITS.certificateNamesMax,
  'all names that a node may be set to fit into its certificate',
);
assert(
  LIMITS.clockApartMsAdvised < LIMITS.clockAheadMsMax,
  'doctor warns of a clock before it counts for nothing',
);
assert(
  LIMITS.controlKeysMax - 1 <= LIMITS.keyringReplacedMax,
  'every control key that a node holds may be known as replaced',
);
assert(LIMITS.diskReserveBytes < LIMITS.diskFreeBytesMin, 'doctor refuses before writes are turned away');
assert(LIMITS.diskFreeBytesMin < LIMITS.diskFreeBytesAdvised, 'doctor warns before it refuses');
assert(
  LIMITS.historyBytesMax < LIMITS.diskFreeBytesAdvised,
  'all history fits into the disk that doctor asks for',
);
assert(
  LIMITS.pageBytesMax <= LIMITS.sessionUnsentBytesMax && LIMITS.pageBytesMax <= LIMITS.waitingAnswerBytesMax,
  'a largest answer has room',
);
assert(LIMITS.historyRevisionsKept < LIMITS.historyRevisionsMax, 'history bounds are ordered');
assert(LIMITS.valueBytesMax < LIMITS.watchBufferBytesMax, 'one largest event fits into a watch buffer');
