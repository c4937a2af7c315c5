import { ACCESS } from './access.ts';
import { ALERTS } from './alerts.ts';
import { AUDIT } from './audit.ts';
import { COMMITS } from './commits.ts';
import { CONNECTIONS } from './connections.ts';
import { ELECTIONS } from './elections.ts';
import { HOSTS } from './hosts.ts';
import { KEYS } from './keys.ts';
import { LOG_ON_DISK } from './logOnDisk.ts';
import { LOG_READING } from './logReading.ts';
import { LOGS } from './logs.ts';
import { MEMBERS } from './members.ts';
import type { Mutation } from './mutation.ts';
import { PEER_INPUT } from './peerInput.ts';
import { PROCESSES } from './processes.ts';
import { PROOFS } from './proofs.ts';
import { READS } from './reads.ts';
import { SNAPSHOTS } from './snapshots.ts';
import { STATES } from './states.ts';
import { STORE } from './store.ts';
import { SUSPICION } from './suspicion.ts';
import { TRANSPORT } from './transport.ts';

/** All mutations, by what they attack. */
export const AREAS: ReadonlyMap<string, readonly Mutation[]> = new Map([
  ['elections', ELECTIONS],
  ['commits', COMMITS],
  ['logs', LOGS],
  ['reads', READS],
  ['members', MEMBERS],
  ['snapshots', SNAPSHOTS],
  ['suspicion', SUSPICION],
  ['logOnDisk', LOG_ON_DISK],
  ['logReading', LOG_READING],
  ['hosts', HOSTS],
  ['store', STORE],
  ['states', STATES],
  ['transport', TRANSPORT],
  ['connections', CONNECTIONS],
  ['peerInput', PEER_INPUT],
  ['proofs', PROOFS],
  ['processes', PROCESSES],
  ['keys', KEYS],
  ['access', ACCESS],
  ['audit', AUDIT],
  ['alerts', ALERTS],
]);

export const MUTATIONS: readonly Mutation[] = [...AREAS.values()].flat();
