import { existsSync, readFileSync } from 'node:fs';
import { writeFileDurably } from '../base/durableFile.ts';
import type { SealedCodec } from '../envelope/codec.ts';
import type { EnvelopePlace } from '../envelope/place.ts';
import type { Sealer } from '../envelope/sealer.ts';
import { type Member, seedMembersCodec } from '../proto/storage.ts';
import type { DataDirectory } from './dataDirectory.ts';

const PLACE: EnvelopePlace = { kind: 'file', name: 'members', generation: 0 };

/** Purpose `trust` is always encrypted, so the readable form is never used. */
const codec: SealedCodec<{ readonly members: readonly Member[] }> = {
  encode: seedMembersCodec.encode,
  decode: seedMembersCodec.decode,
  toJson: (value) => value,
  fromJson: (json) => json as { readonly members: readonly Member[] },
};

/** Keeps what the join's answer said of the other members: where to find them before the log has come. */
export async function saveSeedMembers(
  directory: DataDirectory,
  { sealer, members }: { sealer: Sealer; members: readonly Member[] },
): Promise<void> {
  const bytes = sealer.seal(codec, { members }, { purpose: 'trust', place: PLACE });
  await writeFileDurably({ path: directory.seedMembers, bytes, mode: 0o600 });
}

/** @throws HoldfastError ENVELOPE_UNREADABLE; none for a node that has no such file */
export function loadSeedMembers(directory: DataDirectory, sealer: Sealer): readonly Member[] {
  if (!existsSync(directory.seedMembers)) return [];
  return sealer.open(codec, readFileSync(directory.seedMembers), { purpose: 'trust', place: PLACE }).members;
}
