import { asBuffer } from '../base/bytes.ts';
import { HoldfastError } from '../base/errors.ts';
import { bytesField } from '../command/keys.ts';
import { type HeadRow, headRowCodec } from '../proto/storage.ts';
import { type DatabaseSnapshot, REBUILT_HINT } from './database.ts';
import {
  encodeRow,
  parseRowKey,
  plaintextOf,
  type Row,
  type RowPlace,
  rowDigest,
  type Table,
} from './row.ts';
import { corruptRow, type RowSealer } from './rowSealer.ts';
import type { State } from './state.ts';

type LoadRow = (state: State, row: Row, encoded: Buffer) => void;

/** In this order: the answers need the clients, and audit records what says where they begin. */
const LOADERS: readonly { readonly table: Exclude<Table, 'h'>; readonly load: LoadRow }[] = [
  { table: 'b', load: (state, row, encoded) => state.access.loadToken(row, encoded) },
  { table: 'c', load: (state, row, encoded) => state.clients.loadClient(row, encoded) },
  { table: 'a', load: (state, row, encoded) => state.clients.loadAnswers(row, encoded) },
  { table: 'd', load: (state, row, encoded) => state.access.users.resets.load(row, encoded) },
  { table: 'k', load: (state, row, encoded) => state.records.load(row, encoded) },
  { table: 'e', load: (state, row, encoded) => state.audit.rules.load(row, encoded) },
  { table: 'l', load: (state, row, encoded) => state.audit.load(row, encoded) },
  { table: 'm', load: (state, row, encoded) => state.membership.loadMember(row, encoded) },
  { table: 'p', load: (state, row, encoded) => state.access.loadPolicy(row, encoded) },
  { table: 'r', load: (state, row, encoded) => state.keyChanges.load(row, encoded) },
  { table: 's', load: (state, row, encoded) => state.membership.loadAuthority(row, encoded) },
  { table: 't', load: (state, row, encoded) => state.tokens.load(row, encoded) },
  { table: 'u', load: (state, row, encoded) => state.access.users.load(row, encoded) },
  { table: 'x', load: (state, row, encoded) => state.membership.loadRemoved(row, encoded) },
];

/**
 * Fills an empty state with the rows on disk. Every row is opened, which authenticates it and its place, and the
 * digest is made anew from what was opened: it must be the one sealed in the head row. Gives the event loop its
 * turn between portions.
 * @throws HoldfastError STATE_CORRUPT naming the row's table and place; for the head row also KEY_UNKNOWN,
 *   ENVELOPE_VERSION_UNKNOWN, ENVELOPE_SUITE_UNKNOWN
 */
export async function loadState(
  state: State,
  { snapshot, sealer }: { snapshot: DatabaseSnapshot; sealer: RowSealer },
): Promise<HeadRow> {
  const head = await readHead({ snapshot, sealer });
  for (const { table, load } of LOADERS) {
    for await (const portion of snapshot.rows(table)) {
      for (const { key, envelope } of portion)
        loadRow(state, { place: parseRowKey(key), envelope, sealer, load });
    }
  }
  state.clients.settleLoaded();
  if (!state.changes.digest.bytes().equals(head.digest)) {
    throw corruptState();
  }
  state.restore(head);
  if (!state.audit.isWhole(head)) throw corruptState();
  return head;
}

/** The one head row. @throws as loadState */
export async function readHead(from: { snapshot: DatabaseSnapshot; sealer: RowSealer }): Promise<HeadRow> {
  const heads: { place: RowPlace; envelope: Buffer }[] = [];
  for await (const portion of from.snapshot.rows('h')) {
    for (const { key, envelope } of portion) heads.push({ place: parseRowKey(key), envelope });
  }
  const [found, second] = heads;
  if (found === undefined || second !== undefined)
    throw corrupt(`the state has ${heads.length} head rows (table h)`);
  const head = headRowCodec.decode(openHead(found, from.sealer));
  if (head.index !== found.place.number || !head.configuration)
    throw corruptRow(found.place, 'is not a head row');
  return {
    ...head,
    hash: asBuffer(head.hash),
    digest: asBuffer(head.digest),
    auditHash: bytesField(head.auditHash),
  };
}

/** What is wrong with the keyring or the release shows here first, and keeps its own code. */
const NOT_CORRUPT: ReadonlySet<string> = new Set([
  'KEY_UNKNOWN',
  'ENVELOPE_VERSION_UNKNOWN',
  'ENVELOPE_SUITE_UNKNOWN',
]);

function openHead({ place, envelope }: { place: RowPlace; envelope: Buffer }, sealer: RowSealer): Buffer {
  try {
    return sealer.open(place, envelope);
  } catch (cause) {
    if (!(cause instanceof HoldfastError) || NOT_CORRUPT.has(cause.code)) throw cause;
    throw corruptRow(place, `does not open: ${cause.message}`, cause);
  }
}

function loadRow(
  state: State,
  from: { place: RowPlace; envelope: Buffer; sealer: RowSealer; load: LoadRow },
): void {
  const { place } = from;
  const encoded = encodeRow(place, from.sealer.openOrCorrupt(place, from.envelope));
  const row: Row = { ...place, digest: rowDigest(encoded), encoded: null, batch: 0, dropped: false };
  try {
    from.load(state, row, encoded);
  } catch (cause) {
    if (cause instanceof HoldfastError && cause.code === 'STATE_CORRUPT') throw cause;
    throw corruptRow(place, 'does not decode', cause);
  }
  if (place.table === 's') plaintextOf(encoded).fill(0);
}

/** The rows as a whole are not what they should be. */
export function corruptState(): HoldfastError {
  return corrupt(
    'the rows of the state are not those that its head row was written for: some are missing or too many',
  );
}

function corrupt(message: string): HoldfastError {
  return new HoldfastError('STATE_CORRUPT', message, { hint: REBUILT_HINT });
}
