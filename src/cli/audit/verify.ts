import { createReadStream } from 'node:fs';
import type { Command } from 'commander';
import { linesOf, type NotedHead, type VerifiedExport, verifyExport } from '../../audit/verifyExport.ts';
import { HoldfastError, systemErrorCode } from '../../base/errors.ts';
import { parseFingerprint } from '../arguments.ts';
import { resolveContext } from '../context.ts';
import { type Invocation, outputOf, withClient } from '../invocation.ts';
import type { Output } from '../output.ts';
import { verifyCluster } from './verifyCluster.ts';

interface VerifyOptions {
  readonly head?: string;
  readonly caFingerprint?: string;
}

const HEAD_PATTERN = /^([1-9]\d{0,15}):([0-9a-f]{64})$/;

export function addVerifyCommand(audit: Command, invocation: Invocation): void {
  audit
    .command('verify')
    .description('check the chain: of an exported file, or of the cluster and every member of it')
    .argument('[file]', 'what holdfast audit export has written; default: the cluster')
    .option('--head <sequence:hash>', 'a head that was noted earlier, so that cutting off the end is found')
    .option('--ca-fingerprint <sha256:…>', 'the only CA whose checkpoint is taken')
    .action(async (file: string | undefined, options: VerifyOptions, command: Command) => {
      const noted = options.head === undefined ? null : notedHead(options.head);
      const { caFingerprint } = options;
      const authority =
        caFingerprint === undefined ? null : parseFingerprint(caFingerprint, 'ca-fingerprint');
      const output = outputOf(invocation, command);
      if (file !== undefined) return verifyFile(file, { noted, authority, output });
      const { context } = command.optsWithGlobals<{ context?: string }>();
      const { ca } = resolveContext(invocation.environment, context);
      await withClient(
        invocation,
        command,
        (client) => verifyCluster(client, { noted, authority, ca, output, invocation }),
        'leave',
      );
    });
}

interface Expected {
  readonly noted: NotedHead | null;
  readonly authority: string | null;
  readonly output: Output;
}

async function verifyFile(path: string, { noted, authority, output }: Expected): Promise<void> {
  const found = await verifyExport(linesOf(chunksOf(path)), noted, authority);
  const { records, firstSequence, lastSequence, lastHash, filtered } = found;
  output.result(found, [
    records === 0
      ? 'no records'
      : `${records} records are as they were written, ${firstSequence} to ${lastSequence}`,
    ...(filtered
      ? ['some were left out by what was asked for: whether others are missing cannot be said']
      : []),
    ...beginningOf(found, authority),
    ...(records === 0 ? [] : [`head ${lastSequence}:${lastHash}`]),
  ]);
}

/** Where it begins, when that is not the first record of the cluster. */
function beginningOf(
  { begins, firstSequence, filtered, caFingerprint }: VerifiedExport,
  authority: string | null,
): readonly string[] {
  if (begins === 'later' && !filtered)
    return [
      `it begins with record ${firstSequence}: it does not reach back to the first record of the cluster, nor to a checkpoint`,
    ];
  if (begins !== 'checkpoint') return [];
  return [
    `it goes on from record ${firstSequence - 1}, by a checkpoint that the CA ${caFingerprint} has signed`,
    ...(authority === null
      ? [
          'compare that with the CA of the cluster (holdfast cluster rotate-ca --status), or add --ca-fingerprint',
        ]
      : []),
  ];
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
