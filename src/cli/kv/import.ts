import type { Command } from 'commander';
import { HoldfastError, toHoldfastError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import { printable } from '../../base/printable.ts';
import type { HoldfastClient } from '../../client/index.ts';
import { type Invocation, interruption, outputOf, withClient } from '../invocation.ts';
import type { Output } from '../output.ts';
import { sizeText } from '../value.ts';
import { readFileBounded } from './boundedFile.ts';
import { type ImportFile, planImport } from './importPlan.ts';
import { inFlight } from './inFlight.ts';
import { parsePrefix } from './keyArgument.ts';

export function addImportCommand(kv: Command, invocation: Invocation): void {
  kv.command('import')
    .description('store every file of a directory: one key a file, its path the key, its bytes the value')
    .argument('<dir>')
    .option('--prefix <prefix>', 'begins every key', '')
    .action(async (directory: string, options: { readonly prefix: string }, command: Command) => {
      const output = outputOf(invocation, command);
      const prefix = parsePrefix(options.prefix);
      const plan = await planImport({ directory, prefix, interrupted: invocation.interrupted });
      for (const path of plan.leftOut)
        output.note(output.warn(`left out, no regular file: ${printable(path)}`));
      const write = async (client: HoldfastClient): Promise<void> => {
        const { files } = plan;
        const done = await writeFiles(client, { files, output, interrupted: invocation.interrupted });
        const json = { keys: done.keys, bytes: done.bytes, revision: done.revision, leftOut: plan.leftOut };
        output.result(json, [
          `${done.keys} ${done.keys === 1 ? 'key' : 'keys'} stored, ${sizeText(done.bytes)}, revision ${done.revision}`,
        ]);
      };
      await withClient(invocation, command, write, 'leave');
    });
}

interface Written {
  keys: number;
  bytes: number;
  revision: number;
}

/** @throws HoldfastError that also says how many keys were written */
async function writeFiles(
  client: HoldfastClient,
  options: {
    readonly files: readonly ImportFile[];
    readonly output: Output;
    readonly interrupted: AbortSignal;
  },
): Promise<Written> {
  const { files, output, interrupted } = options;
  const written: Written = { keys: 0, bytes: 0, revision: 0 };
  try {
    await inFlight(files, interrupted, async (file) => {
      const bound = { bytesMax: LIMITS.valueBytesMax, what: 'a value', followLinks: false };
      const value = await readFileBounded(file.path, bound);
      const { revision } = await client.put(file.key, value);
      written.keys += 1;
      written.bytes += value.length;
      written.revision = Math.max(written.revision, revision);
      output.progress(`${written.keys} of ${files.length} keys, ${sizeText(written.bytes)}`);
    });
  } catch (thrown) {
    throw incomplete(thrown, { keys: written.keys, total: files.length });
  } finally {
    output.progressDone();
  }
  if (interrupted.aborted && written.keys < files.length) {
    throw incomplete(interruption(), { keys: written.keys, total: files.length });
  }
  return written;
}

function incomplete(thrown: unknown, { keys, total }: { keys: number; total: number }): HoldfastError {
  const error = toHoldfastError(thrown);
  return new HoldfastError(error.code, `${error.message}; ${keys} of ${total} keys were written`, {
    ...(error.field === undefined ? {} : { field: error.field }),
    hint: 'run the same import again: what is written already is written over with the same bytes',
    cause: error,
  });
}
