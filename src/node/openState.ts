import { HoldfastError } from '../base/errors.ts';
import type { NodeId } from '../base/ids.ts';
import type { Logger } from '../base/logger.ts';
import { votersOf } from '../replication/raft/configuration.ts';
import { after } from '../replication/raft/membership.ts';
import type { Configuration } from '../replication/raft/types.ts';
import type { WalContents } from '../replication/wal/types.ts';
import { StateFolder } from '../store/stateFolder.ts';
import type { Damage } from '../store/stateMark.ts';
import { Store } from '../store/store.ts';
import type { StoreOptions } from '../store/storeOptions.ts';

export interface OpenStateOptions {
  readonly nodeId: NodeId;
  readonly store: StoreOptions;
  /** The log beside the state, verified. */
  readonly log: WalContents;
  readonly logger: Logger;
}

/**
 * Opens the state that belongs to a log. One that is damaged or gone is set aside, and stood in for until the leader has
 * sent a whole one (`Store.missing`). Nothing about keys ever leads there: they have been proved before, and a head that
 * names an unknown key is an error of its own. Nor does a disk that refuses to read: it may do so again with a new state.
 * @throws HoldfastError STATE_CORRUPT when nobody else holds the state; DATA_DIR_INVALID (in use), KEY_UNKNOWN, DISK_FAILED
 */
export async function openState(options: OpenStateOptions): Promise<Store> {
  const folder = new StateFolder(options.store.directory);
  const alone = isAlone(lastConfiguration(options.log), options.nodeId);
  const mark = await folder.damage();
  // The only copy: it may prove itself again, since what could not be read once can perhaps be read now.
  if (mark?.kind === 'damaged' && alone) await folder.switchTo(mark.generation);
  const opened = mark === null || alone ? await openSound(options, folder) : mark;
  if (opened instanceof Store) return opened;
  if (alone) throw onlyCopy(opened.reason);
  const number = await folder.setAside(opened);
  options.logger.warn({ reason: opened.reason }, 'the state is rebuilt from the leader');
  return await Store.openMissing(options.store, { number, missing: opened.reason });
}

type Unsound = Pick<Damage, 'kind' | 'reason'>;

async function openSound(
  { store: options, log }: OpenStateOptions,
  folder: StateFolder,
): Promise<Store | Unsound> {
  let store: Store;
  try {
    if (!(await folder.hasState()))
      return { kind: 'damaged', reason: 'the state is not in the data directory' };
    store = await Store.open(options);
  } catch (thrown) {
    if (!(thrown instanceof HoldfastError) || thrown.code !== 'STATE_CORRUPT') throw thrown;
    return { kind: 'damaged', reason: thrown.message };
  }
  const { index } = store.durable;
  if (index >= log.snapshot.index) return store;
  await store.close();
  return {
    kind: 'damaged',
    reason: `the state ends at ${index}, but the log begins after ${log.snapshot.index}`,
  };
}

/** With every change that the log holds, committed or not. */
function lastConfiguration({ snapshot, entries }: WalContents): Configuration {
  let { configuration } = snapshot;
  for (const entry of entries) {
    if (entry.type === 'configuration') configuration = after(configuration, entry);
  }
  return configuration;
}

/** Whether no other voter exists that could have the state. */
function isAlone(configuration: Configuration, nodeId: NodeId): boolean {
  const voters = votersOf(configuration);
  return voters.length > 0 && voters.every((voter) => voter === nodeId);
}

function onlyCopy(reason: string): HoldfastError {
  return new HoldfastError('STATE_CORRUPT', `${reason}; no other voter holds this state`, {
    hint: 'put the data directory back from a copy; nothing was changed',
  });
}
