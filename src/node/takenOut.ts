import type { StoredConfiguration } from '../proto/storage.ts';
import type { Store } from '../store/store.ts';

/** For status and log of a node that is no member any more, or is on its way out. */
export const TAKEN_OUT_WARNING =
  'this node was removed from the cluster: stop it and delete its data directory; its id never comes back';

/**
 * Whether this node was removed, as far as it can know: it often hears only of the joint configuration in which it
 * goes, since nobody speaks to it after that.
 */
export function isTakenOut(store: Pick<Store, 'isRemoved' | 'configuration'>, nodeId: string): boolean {
  return store.isRemoved(nodeId) || isLeaving(store.configuration, nodeId);
}

function isLeaving({ voters, learners, learnersNext }: StoredConfiguration, nodeId: string): boolean {
  return voters.length > 0 && ![...voters, ...learners, ...learnersNext].includes(nodeId);
}
