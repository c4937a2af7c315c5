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
  pageKeysMax: 1_000,
  pageBytesMax: 4 * MiB,
  nameBytesMax: 256,
  addressBytesMax: 300,

  // exactly-once
  clientsMax: 10_000,
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
  peerConnectTimeoutMs: 3_000,
  peerHandshakeTimeoutMs: 5_000,
  peerReconnectMsMin: 100,
  peerReconnectMsMax: 1_000,
  peerConnectionsMax: 256,
  peerHandshakesMax: 128,
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
  peerStreamsMax: 100,
  apiSessionMemoryBytes: 256 * MiB,

  // envelopes and keys
  envelopeBytesMax: 64 * MiB,
  keyringKeysMax: 1_024,
  keyringBytesMax: 1 * MiB,
  keyFileBytesMax: 64 * KiB,

  // trust
  joinTokenTtlMs: 3_600_000,
  joinTokenTtlMsMax: 7 * 86_400_000,
  joinTokensMax: 1_000,
  joinTokenTextBytesMax: 4 * KiB,
  certificateLifetimeMs: 365 * 86_400_000,
  authorityLifetimeMs: 10 * 365 * 86_400_000,
  certificateHostsMax: 64,
  csrBytesMax: 16 * KiB,
  joinTokenAddressesMax: 8,
  joinsInFlightMax: 16,
  joinRedirectsMax: 8,
  joinRetryDelayMs: 250,
  joinCallTimeoutMs: 10_000,
  certificateBytesMax: 16 * KiB,
  certificateNamesMax: 32,
  certificateBackdateMs: 300_000,
  trustFileBytesMax: 64 * KiB,
  identityFileBytesMax: 16 * KiB,

  // time
  clockAheadMsMax: 10_000,
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
