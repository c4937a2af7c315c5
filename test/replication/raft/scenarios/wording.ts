import { unreachable } from '../../../../src/base/assert.ts';
import type { NodeId } from '../../../../src/base/ids.ts';
import { decodeConfigurationChange } from '../../../../src/replication/raft/configurationCodec.ts';
import type {
  Configuration,
  Entry,
  Message,
  PersistBatch,
  Place,
  RaftStatus,
  ReadState,
} from '../../../../src/replication/raft/types.ts';

/** How everything reads in a script. A place is index@term. */
export const nodeName = (nodeId: NodeId | null): string =>
  nodeId === null ? 'none' : `n${Number.parseInt(nodeId, 16)}`;

export const placeText = ({ index, term }: Place): string => `${index}@${term}`;

const nodeList = (nodes: readonly NodeId[]): string =>
  nodes.map((nodeId) => Number.parseInt(nodeId, 16)).join(',');

export function configurationText(configuration: Configuration): string {
  const { voters, votersOutgoing, learners, learnersNext } = configuration;
  if (voters.length === 0) return 'voters=unknown';
  const parts = [
    `voters=${nodeList(voters)}`,
    votersOutgoing.length > 0 ? `outgoing=${nodeList(votersOutgoing)}` : '',
    learners.length > 0 ? `learners=${nodeList(learners)}` : '',
    learnersNext.length > 0 ? `learners-next=${nodeList(learnersNext)}` : '',
  ];
  return parts.filter((part) => part !== '').join(' ');
}

export function entryText(entry: Entry): string {
  const place = placeText(entry);
  if (entry.type === 'empty') return `${place} empty`;
  if (entry.type === 'normal') {
    return `${place} "${Buffer.from(entry.payload).toString()}"`;
  }
  const { changes } = decodeConfigurationChange(entry.payload);
  if (changes.length === 0) return `${place} leave-joint`;
  const words = changes.map((change) =>
    change.kind === 'remove'
      ? `remove ${nodeName(change.nodeId)}`
      : `${change.role} ${nodeName(change.nodeId)}`,
  );
  return `${place} change(${words.join(', ')})`;
}

export const entriesText = (entries: readonly Entry[]): string => `[${entries.map(entryText).join(', ')}]`;

function details(message: Message): string {
  switch (message.type) {
    case 'append':
      return ` after=${placeText(message.previous)} ${entriesText(message.entries)} commit=${message.commit}${noticeText(message)}`;
    case 'appendResponse':
      return `${answerText(message)}${message.suspect === undefined ? '' : ' suspect'}`;
    case 'commit':
      return ` commit=${message.commit}`;
    case 'heartbeat':
      return ` commit=${message.commit}${roundText(message.round)}`;
    case 'heartbeatResponse':
      return roundText(message.round);
    case 'vote':
    case 'preVote':
      return ` last=${placeText(message.last)}${message.transfer ? ' transfer' : ''}`;
    case 'voteResponse':
    case 'preVoteResponse':
      return message.rejected ? ' refused' : ' granted';
    case 'snapshotOffer':
    case 'snapshotFailed':
      return ` index=${message.index}`;
    case 'readIndex':
      return ` request=${message.requestId}`;
    case 'readIndexResponse':
      return ` request=${message.requestId} ${message.rejected ? 'refused' : `index=${message.index}`}`;
    case 'timeoutNow':
      return '';
    case 'transferLeader':
      return ` target=${nodeName(message.target)}`;
    default:
      return unreachable(message, 'message');
  }
}

function answerText({ rejected, index, hint }: Extract<Message, { type: 'appendResponse' }>): string {
  return rejected ? ` refuses=${index} hint=${placeText(hint)}` : ` has=${index}`;
}

function noticeText({ suspicion }: Extract<Message, { type: 'append' }>): string {
  return suspicion === undefined ? '' : ` suspicious-below=${suspicion.through}`;
}

const roundText = (round: number): string => (round === 0 ? '' : ` round=${round}`);

export function messageText(message: Message): string {
  const route = `${nodeName(message.from)}>${nodeName(message.to)}`;
  return `${route} ${message.type} term=${message.term}${details(message)}`;
}

/** A write, and below it the messages that wait for it. */
export function writeLines(batch: PersistBatch): string[] {
  const { term, vote, commit } = batch.hardState;
  const snapshot = batch.snapshot === null ? '' : ` snapshot=${placeText(batch.snapshot)}`;
  const entries = batch.entries.length === 0 ? '' : ` ${entriesText(batch.entries)}`;
  return [
    `write #${batch.sequence} term=${term} vote=${nodeName(vote)} commit=${commit}${snapshot}${entries}`,
    ...batch.messagesAfterPersist.map((message) => `  then ${messageText(message)}`),
  ];
}

export const readText = ({ requestId, index }: ReadState): string =>
  index === null ? `read ${requestId} failed` : `read ${requestId} at ${index}`;

/** What is worth a line when it changes. */
export function facts(status: RaftStatus): ReadonlyMap<string, string> {
  return new Map([
    ['role', status.role],
    ['term', String(status.term)],
    ['vote', nodeName(status.vote)],
    ['leader', nodeName(status.leader)],
    ['commit', String(status.commit)],
    ['transfer', nodeName(status.transferTarget)],
    ['suspect-until', status.suspectUntil === null ? 'none' : placeText(status.suspectUntil)],
    ['members', configurationText(status.configuration)],
  ]);
}

function changed(name: string, value: string): string {
  if (name === 'role' || name === 'members') return value;
  return `${name}=${value}`;
}

/** The facts that differ, as one line's words; empty when none does. */
export function changesText(before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>): string {
  return [...after]
    .filter(([name, value]) => before.get(name) !== value)
    .map(([name, value]) => changed(name, value))
    .join(' ');
}

export function statusLines(status: RaftStatus): string[] {
  const words = [...facts(status)]
    .filter(([name, value]) => !['transfer', 'suspect-until'].includes(name) || value !== 'none')
    .map(([name, value]) => changed(name, value));
  const log = `applied=${status.applied} log=${status.firstIndex}..${status.lastIndex}`;
  return [
    `${nodeName(status.nodeId)} ${words.join(' ')} ${log}`,
    ...status.progress.map(
      ({ nodeId, match, next, state, reachable, suspect }) =>
        `  ${nodeName(nodeId)} ${state} match=${match} next=${next}${reachable ? '' : ' silent'}${suspect ? ' suspect' : ''}`,
    ),
  ];
}
