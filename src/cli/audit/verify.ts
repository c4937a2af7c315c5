import { createReadStream } from 'node:fs';
import type { Command } from 'commander';
import { hexOf } from '../../audit/exportFormat.ts';
import { recordHash } from '../../audit/record/chain.ts';
import { linesOf, type NotedHead, verifyExport } from '../../audit/verifyExport.ts';
import { asBuffer } from '../../base/bytes.ts';
import { HoldfastError, systemErrorCode, toHoldfastError } from '../../base/errors.ts';
import type { HoldfastClient } from '../../client/index.ts';
import { type Invocation, interruption, outputOf, withClient } from '../invocation.ts';
import type { Output } from '../output.ts';

const HEAD_PATTERN = /^([1-9]\d{0,15}):([0-9a-f]{64})$/;

export function addVerifyCommand(audit: Command, invocation: Invocation): void {
  audit
    .command('verify')
    .description('check the chain: of an exported file, or of the cluster and every member of it')
    .argument('[file]', 'what holdfast audit export has written; default: the cluster')
    .option('--head <sequence:hash>', 'a head that was noted earlier, so that cutting off the end is found')
    .action(async (file: string | undefined, options: { readonly head?: string }, command: Command) => {
      const noted = options.head === undefined ? null : notedHead(options.head);
      const output = outputOf(invocation, command);
      if (file !== undefined) return verifyFile(file, noted, output);
      await withClient(
        invocation,
        command,
        (client) => verifyCluster(client, { noted, output, invocation }),
        'leave',
      );
    });
}

async function verifyFile(path: string, noted: NotedHead | null, output: Output): Promise<void> {
  const found = await verifyExport(linesOf(chunksOf(path)), noted);
  const { records, firstSequence, lastSequence, lastHash, filtered } = found;
  output.result(found, [
    records === 0
      ? 'no records'
      : `${records} records are as they were written, ${firstSequence} to ${lastSequence}`,
    ...(filtered
      ? ['some were left out by what was asked for: whether others are missing cannot be said']
      : []),
    ...(records === 0 ? [] : [`head ${lastSequence}:${lastHash}`]),
  ]);
}

/** @throws HoldfastError FILE_UNREADABLE */
async function* chunksOf(path: string): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of createReadStream(path)) yield chunk as Buffer;
  } catch (cause) {
    if (systemErrorCode(cause) === undefined) throw cause;
    throw new HoldfastError('FILE_UNREADABLE', `${path} cannot be read`, {
      field: 'file',
      hint: 'name a file that holdfast audit export has written',
      cause,
    });
  }
}

function notedHead(text: string): NotedHead {
  const [, sequence, hash = ''] = HEAD_PATTERN.exec(text) ?? [];
  if (sequence !== undefined) return { sequence: Number(sequence), hash };
  throw new HoldfastError('USAGE', '--head is not a sequence, a colon and a hash', {
    field: '--head',
    hint: 'write it as holdfast audit verify has shown it: 4711:5f…',
  });
}

interface Checking {
  readonly noted: NotedHead | null;
  readonly output: Output;
  readonly invocation: Invocation;
}

async function verifyCluster(client: HoldfastClient, checking: Checking): Promise<void> {
  const { output, invocation } = checking;
  const { records, last } = await walkChain(client, checking);
  const { members } = await client.cluster.members();
  const asked = await Promise.all(
    members.map(async ({ name, apiAddress }) => ({ name, said: await headOf(client, apiAddress, last) })),
  );
  const isSame = asked.every(({ said }) => said === last.hash);
  if (!isSame) invocation.exit.status = 1;
  const shown = asked.map(({ name, said }) => ({ name, same: said === last.hash, said }));
  output.result({ records, head: last, members: shown, whole: isSame }, [
    `${records} records follow one another`,
    ...shown.map(
      ({ name, same, said }) => `${name}: ${same ? output.good('the same head') : output.bad(said)}`,
    ),
    `head ${last.sequence}:${last.hash}`,
  ]);
}

/** Every record that is kept, from where the signed checkpoint says that the chain begins. */
async function walkChain(
  client: HoldfastClient,
  { noted, output, invocation }: Checking,
): Promise<{ readonly records: number; readonly last: NotedHead }> {
  const { checkpoint } = await client.audit.head();
  let last = { sequence: checkpoint?.sequence ?? 0, hash: hexOf(checkpoint?.hash ?? Buffer.alloc(32)) };
  let records = 0;
  requireKept(noted, last);
  requireNoted(noted, last);
  for await (const record of client.audit.records()) {
    if (invocation.interrupted.aborted) throw interruption();
    const previousHash = asBuffer(record.previousHash);
    const follows = record.sequence === last.sequence + 1 && hexOf(previousHash) === last.hash;
    const own = recordHash(record, { ...record, previousHash });
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
  return { records, last };
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
