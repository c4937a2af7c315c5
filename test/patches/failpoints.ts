import path from 'node:path';
import { ROOT } from '../tidy/sourceTree.ts';
import { after, afterAwaited, before, beforeAwaited, type Failpoint } from './failpoint.ts';
import { KEY_CHANGE_FAILPOINTS, type KeyChangeFailpoint } from './keyChangeFailpoints.ts';
import { buildPatched, type SourcePatch } from './patchedBuild.ts';

const RAFT_LOG = 'src/replication/raftLog/raftLog.ts';
const RELEASING = 'src/replication/raftLog/releasing.ts';
const APPLIER = 'src/replication/raftLog/applier.ts';
const STORE = 'src/store/store.ts';

/** By name. Where several nodes are concerned, the comment says which. */
export const FAILPOINTS = {
  // Persisting, on every node.
  raftBeforeSave: before(RAFT_LOG, 'const durable = this.#options.wal.append(walBatch);'),
  raftAfterSave: before(RAFT_LOG, 'this.#send(messagesAfterPersist);'),
  configurationBeforeSave: {
    file: RAFT_LOG,
    find: 'this.#window.add(walBatch.entries);',
    replace: `this.#window.add(walBatch.entries);
      if (walBatch.entries.some((one) => one.type === 'configuration')) POINT;`,
  },
  configurationAfterSave: {
    file: RAFT_LOG,
    find: 'this.#raft.persisted(sequence);',
    replace: `if (walBatch.entries.some((one) => one.type === 'configuration')) POINT;
      this.#raft.persisted(sequence);`,
  },

  // Sending.
  raftBeforeLeaderSend: {
    file: RAFT_LOG,
    find: 'if (messages.length === 0) return;',
    replace: 'if (messages.length === 0) return; if (this.#raft.leadership.isLeader) POINT;',
  },
  raftBeforeFollowerSend: {
    file: RAFT_LOG,
    find: 'const stalled = this.#disk.isLong;',
    replace: 'if (!this.#raft.leadership.isLeader) POINT; const stalled = this.#disk.isLong;',
  },

  // Applying, on every node.
  beforeApplyEntry: before(APPLIER, 'this.#apply({ ...entry, change, configuration: this.#configuration });'),
  afterApplyBatch: before(RAFT_LOG, 'this.#raft.applied(this.#applier.applied);'),
  beforeApplyConf: {
    file: APPLIER,
    find: 'const change = entry.type',
    replace: `if (entry.type === 'configuration') POINT; const change = entry.type`,
  },
  afterApplyConf: {
    file: APPLIER,
    find: 'this.#applied = entry.index;',
    replace: `this.#applied = entry.index; if (entry.type === 'configuration') POINT;`,
  },

  // Snapshots: on the node that receives one, and on the one that sends it.
  snapBeforeWrite: {
    file: 'src/store/openGeneration.ts',
    find: 'if (rows !== undefined) await writeRows(',
    replace: 'if (rows !== undefined) await POINT; if (rows !== undefined) await writeRows(',
    awaited: true,
  },
  snapAfterChunk: afterAwaited('src/store/snapshot.ts', 'await writes.write();'),
  snapBeforeSwap: beforeAwaited(STORE, 'await this.#switchTo(next);'),
  snapAfterSwap: beforeAwaited(STORE, 'this.#watches.restart(next.state.records);'),
  snapAfterSentChunk: afterAwaited(
    'src/replication/transport/snapshotServer.ts',
    'await send({ rows: chunk, rowsTotal: 0, last: false });',
  ),

  // Compaction of history, on every node.
  compactBefore: before('src/store/compaction.ts', 'records.compactedRevision = revision;'),
  compactAfter: after('src/store/compaction.ts', 'budget -= pass(records, first);'),
  // The log lets go of what the state on disk holds.
  logCompactBefore: before(RELEASING, 'raft.compact({ index: target });'),
  walRelease: before(RELEASING, 'await wal.release(base);'),

  // The state's batches in the background.
  stateBatchBefore: beforeAwaited(
    'src/store/writer.ts',
    'writeHead(writes, { head, sealer: this.#options.sealer });',
  ),
  stateBatchAfter: {
    file: 'src/store/writer.ts',
    find: 'this.#settle({ entries, puts, head });',
    replace: '{ await POINT; this.#settle({ entries, puts, head }); }',
    awaited: true,
  },

  watchBeforeSend: before('src/store/watch.ts', 'this.told = true;'),
  // The leader has used the token up, and has not answered.
  joinAfterToken: beforeAwaited(
    'src/trust/joinService.ts',
    'await port.addLearner({ nodeId, name, peerAddress, apiAddress, wantedRole: role });',
  ),
} as const satisfies Readonly<Record<string, Failpoint>>;

export type FailpointName = keyof typeof FAILPOINTS | KeyChangeFailpoint;

/** All failpoints as patches. A program without the hook behaves as without them. */
export const FAILPOINT_PATCHES: readonly SourcePatch[] = Object.entries<Failpoint>({
  ...FAILPOINTS,
  ...KEY_CHANGE_FAILPOINTS,
}).map(([name, { file, find, replace, awaited }]) => ({
  name,
  file,
  find,
  // A function: `$` in a replacement text means something to replaceAll.
  replace: replace.replaceAll('POINT', () => `globalThis.__failpoint?.('${name}', ${awaited === true})`),
}));

/** Windows so small that what is rare in a large cluster happens within a second. */
export const SMALL_WINDOWS: readonly SourcePatch[] = [
  limit('logTrailingEntries: 10_000', 'logTrailingEntries: 200'),
  limit('logHeldEntries: 100_000', 'logHeldEntries: 250'),
  limit('historyRevisionsKept: 100_000', 'historyRevisionsKept: 500'),
  limit('historyAgeMs: 3_600_000', 'historyAgeMs: 1_000'),
  limit('snapshotChunkBytes: 1 * MiB', 'snapshotChunkBytes: 16 * KiB'),
];

function limit(find: string, replace: string): SourcePatch {
  return { name: `limit ${replace}`, file: 'src/base/limits.ts', find, replace };
}

export interface FailpointProgram {
  /** The command line of the server and everything else. */
  readonly program: string;
  /** For `node --import`: arms failpoints by HOLDFAST_FAILPOINTS and HOLDFAST_FAILPOINTS_FILE. */
  readonly preload: string;
}

/** The whole program with all failpoints, and what arms them (failpointHook.ts). */
export async function buildFailpointProgram(
  options: { readonly patches?: readonly SourcePatch[]; readonly folder?: string } = {},
): Promise<FailpointProgram> {
  const { patches = [], folder = '.rig/patched/failpoints' } = options;
  const program = path.resolve(ROOT, folder, 'main.mjs');
  const preload = path.resolve(ROOT, folder, 'failpointHook.mjs');
  await Promise.all([
    buildPatched({
      entry: 'src/cli/main.ts',
      patches: [...FAILPOINT_PATCHES, ...patches],
      outfile: program,
      packages: 'inside',
    }),
    buildPatched({ entry: 'test/patches/failpointHook.ts', patches: [], outfile: preload }),
  ]);
  return { program, preload };
}
