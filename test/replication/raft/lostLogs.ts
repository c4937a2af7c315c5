import type { Message } from '../../../src/replication/raft/types.ts';
import { Cluster, type ClusterOptions, lastOnDisk, nodeId } from './cluster.ts';

/** Three nodes, led by 1, with so many entries everywhere. */
export function cluster(entries = 4, raft: ClusterOptions['raft'] = {}): Cluster {
  const made = new Cluster({ voters: [1, 2, 3], raft });
  made.elect(1);
  for (let entry = 0; entry < entries; entry += 1) made.propose(1, `entry ${entry}`);
  made.settle();
  return made;
}

/** Node 3 comes back without its entries behind `keep`, and knows it. */
export function lose(made: Cluster, keep: number): void {
  const machine = made.machine(3);
  made.loseTail(machine, { keep, until: lastOnDisk(machine.disk) });
  made.start(machine);
}

/** Whether the leader does not count node 3; undefined: it does not know it. */
export const suspectAt = (made: Cluster, leader: number): boolean | undefined =>
  made
    .core(leader)
    .status()
    .progress.find((member) => member.nodeId === nodeId(3))?.suspect;

export const isFrom = (number: number, type: Message['type']) => (message: Message) =>
  message.from === nodeId(number) && message.type === type;
