import { ManualClock } from '../../src/base/clock.ts';
import { type NodeId, newStoreId, type StoreId } from '../../src/base/ids.ts';
import { SeededRandom } from '../../src/base/random.ts';
import { type Scheduler, systemScheduler } from '../../src/base/scheduler.ts';
import { createKeyring } from '../../src/envelope/keyring.ts';
import { Sealer } from '../../src/envelope/sealer.ts';
import { NO_CONFIGURATION } from '../../src/replication/raft/configuration.ts';
import { entryHash, ZERO_HASH } from '../../src/replication/raft/entryHash.ts';
import type { Configuration } from '../../src/replication/raft/types.ts';
import type { WalContents } from '../../src/replication/wal/types.ts';
import { Store } from '../../src/store/store.ts';
import { JWT_FINGERPRINT } from '../envelope/fixtures.ts';
import { Chance } from './chance.ts';
import { PlainSealer } from './plainSealer.ts';
import { VirtualState } from './virtualState.ts';

/** Of every run: what they seal and where does not matter to them. */
const STORE_ID: StoreId = newStoreId(new SeededRandom(1));
const KEYRING = createKeyring({
  jwtSecretFingerprint: JWT_FINGERPRINT,
  storeId: STORE_ID,
  encryption: 'on',
  random: new SeededRandom(2),
  clock: new ManualClock(),
});

export function sealerOf({ real }: { readonly real: boolean }): Sealer {
  const options = { keyring: KEYRING, storeId: STORE_ID, random: new SeededRandom(3) };
  return real ? new Sealer(options) : new PlainSealer(options);
}

export interface Genesis {
  readonly storeId: StoreId;
  readonly state: VirtualState;
  readonly contents: WalContents;
}

const IMMEDIATE: Scheduler = { ...systemScheduler, afterPoll: (run) => queueMicrotask(run) };

/** What the founders begin with: a state that knows them, and a log whose base it is. */
export async function genesisOf(voters: readonly NodeId[], sealer: Sealer): Promise<Genesis> {
  const state = new VirtualState({
    chance: new Chance(1),
    tears: false,
    failsNow: () => false,
    operation: (perform) => Promise.resolve().then(perform),
  });
  const configuration: Configuration = { ...NO_CONFIGURATION, voters: [...voters] };
  const place = { index: 1, term: 1 };
  const hash = entryHash(ZERO_HASH, place, 'configuration', Buffer.alloc(0));
  const store = await Store.create({
    directory: '',
    sealer,
    generations: state,
    openDatabase: state.openDatabase,
    scheduler: IMMEDIATE,
    onDurable: () => undefined,
    onFatal: (error) => {
      throw error;
    },
  });
  store.apply({
    kind: 'configuration',
    place: { ...place, hash },
    configuration,
    removed: [],
    member: null,
    timeMs: 1_700_000_000_000,
  });
  await store.close();
  return {
    storeId: STORE_ID,
    state,
    contents: {
      hardState: { term: 1, vote: null, commit: 1 },
      snapshot: { ...place, hash, configuration },
      entries: [],
    },
  };
}
