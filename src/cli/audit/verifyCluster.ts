import { X509Certificate } from 'node:crypto';
import { hexOf } from '../../audit/exportFormat.ts';
import { recordHash } from '../../audit/record/chain.ts';
import { authorityOf, isSignedByItsAuthority } from '../../audit/signedCheckpoint.ts';
import type { NotedHead } from '../../audit/verifyExport.ts';
import { authorityFingerprint } from '../../base/authorityFingerprint.ts';
import { asBuffer } from '../../base/bytes.ts';
import { HoldfastError, toHoldfastError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import type { AuditHeadResponse, HoldfastClient } from '../../client/index.ts';
import { type Invocation, interruption } from '../invocation.ts';
import type { Output } from '../output.ts';

interface Checking {
  readonly noted: NotedHead | null;
  /** Fingerprint of the only CA whose checkpoint is taken; null: any, and it is said whether it is known. */
  readonly authority: string | null;
  /** PEM: the CAs that the context knows. */
  readonly ca: string;
  readonly output: Output;
  readonly invocation: Invocation;
}

/** The chain of the cluster, and whether every member ends with the same record. */
export async function verifyCluster(client: HoldfastClient, checking: Checking): Promise<void> {
  const { output, invocation } = checking;
  const { records, last, checkpoint } = await walkChain(client, checking);
  const { members } = await client.cluster.members();
  const asked = await Promise.all(
    members.map(async ({ name, apiAddress }) => ({ name, said: await headOf(client, apiAddress, last) })),
  );
  const isSame = asked.every(({ said }) => said === last.hash);
  if (!isSame) invocation.exit.status = 1;
  const shown = asked.map(({ name, said }) => ({ name, same: said === last.hash, said }));
  output.result({ records, checkpoint, head: last, members: shown, whole: isSame }, [
    `${records} records follow one another`,
    ...(checkpoint === null ? [] : [signatureText(checkpoint)]),
    ...shown.map(
      ({ name, same, said }) => `${name}: ${same ? output.good('the same head') : output.bad(said)}`,
    ),
    `head ${last.sequence}:${last.hash}`,
  ]);
}

interface SignedBy {
  readonly sequence: number;
  readonly caFingerprint: string;
  /** The context knows this CA; else it may be a former one. */
  readonly known: boolean;
}

const signatureText = ({ sequence, caFingerprint, known }: SignedBy): string =>
  `they go on from record ${sequence}, by a checkpoint that the CA ${caFingerprint} has signed${known ? '' : ', which this context does not know: compare it with the former ones that you have noted'}`;

interface WalkedChain {
  readonly records: number;
  readonly last: NotedHead;
  readonly checkpoint: SignedBy | null;
}

/** Every record that is kept, and again from the beginning when some have gone meanwhile, as retention takes them. */
async function walkChain(client: HoldfastClient, checking: Checking): Promise<WalkedChain> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await walkOnce(client, checking);
    } catch (thrown) {
      if (attempt === LIMITS.auditWalkAttempts || !isGoneMeanwhile(thrown)) throw thrown;
    }
  }
}

const FROM_SEQUENCE = 'from_sequence';

const isGoneMeanwhile = (thrown: unknown): boolean =>
  thrown instanceof HoldfastError && thrown.code === 'COMPACTED' && thrown.field === FROM_SEQUENCE;

/** From where the signed checkpoint says that the chain begins. */
async function walkOnce(client: HoldfastClient, checking: Checking): Promise<WalkedChain> {
  const { noted, output, invocation } = checking;
  const { checkpoint } = await client.audit.head();
  const signedBy = signerOf(checkpoint, checking);
  let last = { sequence: checkpoint?.sequence ?? 0, hash: hexOf(checkpoint?.hash ?? Buffer.alloc(32)) };
  let records = 0;
  requireKept(noted, last);
  requireNoted(noted, last);
  for await (const record of client.audit.records()) {
    if (invocation.interrupted.aborted) throw interruption();
    const previousHash = asBuffer(record.previousHash);
    const follows = record.sequence === last.sequence + 1 && hexOf(previousHash) === last.hash;
    const own = recordHash(record, { ...record, previousHash });
    if (!follows && records === 0) await requireUnmoved(client, last.sequence);
    if (!follows || !own.equals(record.hash))
      throw tampered(`record ${record.sequence} does not follow the one before it`);
    last = { sequence: record.sequence, hash: hexOf(own) };
    records += 1;
    requireNoted(noted, last);
    if (records % PROGRESS_EVERY === 0) output.progress(`record ${record.sequence}`);
  }
  output.progressDone();
  if (noted !== null && noted.sequence > last.sequence)
    throw tampered(`the records end at ${last.sequence}, before the noted record ${noted.sequence}`);
  return { records, last, checkpoint: signedBy };
}

/** @throws HoldfastError COMPACTED: what was asked for first is no longer where the chain begins */
async function requireUnmoved(client: HoldfastClient, sequence: number): Promise<void> {
  const { checkpoint } = await client.audit.head();
  if ((checkpoint?.sequence ?? 0) === sequence) return;
  throw new HoldfastError('COMPACTED', `audit record ${sequence + 1} is no longer kept`, {
    field: FROM_SEQUENCE,
    hint: 'verify again',
  });
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** @throws HoldfastError AUDIT_TAMPERED, CERTIFICATE_INVALID */
function signerOf(
  checkpoint: AuditHeadResponse['checkpoint'],
  { authority, ca }: Pick<Checking, 'authority' | 'ca'>,
): SignedBy | null {
  if (!checkpoint) return null;
  const { sequence } = checkpoint;
  const caFingerprint = authorityOf(checkpoint, authority);
  if (!isSignedByItsAuthority(checkpoint))
    throw tampered(`the CA ${caFingerprint} has not signed the checkpoint at record ${sequence}`);
  const authorities = ca.match(CERTIFICATE) ?? [];
  const known = authorities.some(
    (pem) => authorityFingerprint(new X509Certificate(pem).raw) === caFingerprint,
  );
  return { sequence, caFingerprint, known };
}

/** @throws HoldfastError COMPACTED for what nobody can tell any more */
function requireKept(noted: NotedHead | null, checkpoint: NotedHead): void {
  if (noted === null || noted.sequence >= checkpoint.sequence) return;
  throw new HoldfastError(
    'COMPACTED',
    `the noted record ${noted.sequence} is no longer kept: the chain goes on from record ${checkpoint.sequence}`,
    { field: '--head', hint: 'hold an export that has the record against it, and note a newer head' },
  );
}

function requireNoted(noted: NotedHead | null, { sequence, hash }: NotedHead): void {
  if (noted?.sequence === sequence && noted.hash !== hash)
    throw tampered(`record ${sequence} is not the one that was noted`);
}

const PROGRESS_EVERY = 1_000;

/** What a member has there: a hash in hex, or why not. */
async function headOf(client: HoldfastClient, address: string, { sequence }: NotedHead): Promise<string> {
  try {
    return hexOf((await client.audit.head({ sequence, to: address })).hash);
  } catch (thrown) {
    return toHoldfastError(thrown).message;
  }
}

function tampered(what: string): HoldfastError {
  return new HoldfastError('AUDIT_TAMPERED', what, {
    hint: 'ask each node by itself, and compare with an earlier export',
  });
}
