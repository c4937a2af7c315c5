import { HoldfastError } from '../../base/errors.ts';
import { enterJoint, isJoint, leaveJoint } from './configuration.ts';
import { decodeConfigurationChange } from './configurationCodec.ts';
import { entryHash, sameHash } from './entryHash.ts';
import type { RaftLog } from './log.ts';
import type { RaftState } from './state.ts';
import type { Configuration, Entry, Message } from './types.ts';

type Append = Extract<Message, { type: 'append' }>;

/** What an append may be refused for before anything of it is believed. */
export type AppendRefusal = 'hashMismatch' | 'rewrite' | 'badConfiguration';

/**
 * Judges the entries of an append against this node's log. What disagrees with a committed entry passes: that is
 * for the handler, which stops the node (invariants 5 and 24).
 */
export function refuseAppend(state: RaftState, message: Append): AppendRefusal | null {
  const { log, configuration, stateMissing } = state;
  // A node that has not joined takes no entries: it starts from a snapshot.
  if (configuration.voters.length === 0 && !stateMissing) return null;
  const fits = agreesAt(log, message);
  // Where the logs do not meet, none of the entries will be looked at.
  if (!fits && message.previous.index >= log.base.index) return null;
  const known = fits ? log.knownPrefix(message.entries) : 0;
  if (!chainHolds(message, known)) return 'hashMismatch';
  if (rewrites(state, message, known)) return 'rewrite';
  return configurationsHold(state, message) ? null : 'badConfiguration';
}

function agreesAt(log: RaftLog, { previous, previousHash }: Append): boolean {
  const own = log.at(previous.index);
  return own !== null && own.term === previous.term && sameHash(own.hash, previousHash);
}

/** Invariant 3, on what a peer sent. The first `known` entries are ours already. */
function chainHolds({ entries, previousHash }: Append, known: number): boolean {
  let before = entries[known - 1]?.hash ?? previousHash;
  for (const entry of entries.slice(known)) {
    if (!sameHash(entry.hash, entryHash(before, entry, entry.type, entry.payload))) return false;
    before = entry.hash;
  }
  return true;
}

/**
 * Invariant 8: a leader does not replace in its term what this node has compared with its log and acknowledged. Were
 * such an append believed, the acknowledged entries would be cut.
 */
function rewrites({ log, term, compared }: RaftState, message: Append, known: number): boolean {
  const first = message.entries[known];
  if (first === undefined || message.term !== term || compared.term !== term) return false;
  return first.index > log.commit && first.index <= Math.min(compared.index, log.lastIndex);
}

/**
 * Invariant 18: a configuration entry must fit the one before it. Committed and applied, one that does not would stop
 * every node; so each node refuses it before it takes it.
 */
function configurationsHold(state: RaftState, { entries }: Append): boolean {
  if (!entries.some((entry) => entry.type === 'configuration')) return true;
  const first = entries[0]?.index ?? 0;
  const { log } = state;
  let current: Configuration | null = state.configuration;
  for (let index = log.applied + 1; index < first && current !== null; index += 1) {
    current = changed(current, log.entryAt(index));
  }
  for (const entry of entries) {
    if (entry.index > log.applied && current !== null) current = changed(current, entry);
  }
  return current !== null;
}

/** The configuration after an entry; null when the entry does not fit. */
function changed(current: Configuration, entry: Entry | null): Configuration | null {
  if (entry?.type !== 'configuration') return current;
  try {
    const { changes } = decodeConfigurationChange(entry.payload);
    if (changes.length > 0) return enterJoint(current, changes).configuration ?? null;
    return isJoint(current) ? leaveJoint(current) : null;
  } catch (thrown) {
    if (thrown instanceof HoldfastError) return null;
    throw thrown;
  }
}
