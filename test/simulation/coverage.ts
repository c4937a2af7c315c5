import type { Message, MessageType, Role } from '../../src/replication/raft/types.ts';
import type { Machine } from './machine.ts';

export type Situation = 'plain' | 'joint' | 'learner' | 'snapshot' | 'transfer';

/** Which message met which role in which situation, and how often. */
export class Coverage {
  readonly counts = new Map<string, number>();

  delivered(machine: Machine, message: Message): void {
    const status = machine.running?.log.status();
    if (status === undefined) return;
    const { configuration, nodeId, progress, transferTarget } = status;
    const situations: Situation[] = [];
    if (configuration.votersOutgoing.length > 0) situations.push('joint');
    if (configuration.learners.includes(nodeId)) situations.push('learner');
    if (progress.some(({ state }) => state === 'snapshot')) situations.push('snapshot');
    if (transferTarget !== null) situations.push('transfer');
    if (situations.length === 0) situations.push('plain');
    for (const situation of situations) this.#count(message.type, status.role, situation);
  }

  add(counts: Iterable<readonly [string, number]>): void {
    for (const [key, count] of counts) this.counts.set(key, (this.counts.get(key) ?? 0) + count);
  }

  #count(type: MessageType, role: Role, situation: Situation): void {
    const key = `${type} ${role} ${situation}`;
    this.counts.set(key, (this.counts.get(key) ?? 0) + 1);
  }
}
