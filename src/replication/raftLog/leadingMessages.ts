import type { MessageType } from '../raft/types.ts';

/** Sent by a leader to keep its followers; a leader whose disk hangs must not send them (F5). */
export const LEADING_MESSAGES: ReadonlySet<MessageType> = new Set([
  'heartbeat',
  'append',
  'commit',
  'snapshotOffer',
]);
