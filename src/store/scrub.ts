import type { Database } from './database.ts';
import { corruptState, readHead } from './loadState.ts';
import { encodeRow, parseRowKey, plaintextOf, rowDigest, TABLES } from './row.ts';
import type { RowSealer } from './rowSealer.ts';
import { StateDigest } from './stateDigest.ts';

/** Called between portions, with what comes next; false ends the pass. */
export type ScrubPace = (next: { readonly rows: number; readonly bytes: number }) => Promise<boolean>;

export interface ScrubbedState {
  readonly rows: number;
  readonly bytes: number;
  /** False: ended early; nothing was found until then. */
  readonly whole: boolean;
}

/**
 * Opens every row that lies on disk, as a start does, and compares the digest of all with the one that its head was
 * written with, which is what memory had then. Works on a snapshot: the state goes on meanwhile.
 * @throws HoldfastError STATE_CORRUPT, DISK_FAILED; what LevelDB throws when it is closed meanwhile
 */
export async function scrubState(
  { database, sealer }: { readonly database: Database; readonly sealer: RowSealer },
  pace: ScrubPace,
): Promise<ScrubbedState> {
  const snapshot = database.snapshot();
  const digest = new StateDigest();
  let [rows, bytes] = [0, 0];
  try {
    const head = await readHead({ snapshot, sealer });
    for (const table of TABLES) {
      if (table === 'h') continue;
      for await (const portion of snapshot.rows(table)) {
        const portionBytes = portion.reduce((sum, row) => sum + row.envelope.length, 0);
        if (!(await pace({ rows: portion.length, bytes: portionBytes })))
          return { rows, bytes, whole: false };
        for (const { key, envelope } of portion) {
          const place = parseRowKey(key);
          const encoded = encodeRow(place, sealer.openOrCorrupt(place, envelope));
          digest.add(rowDigest(encoded));
          if (table === 's') plaintextOf(encoded).fill(0);
        }
        rows += portion.length;
        bytes += portionBytes;
      }
    }
    if (!digest.bytes().equals(head.digest)) throw corruptState();
    return { rows, bytes, whole: true };
  } finally {
    await snapshot.close();
  }
}
