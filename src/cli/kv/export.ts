import type { Command } from 'commander';
import { HoldfastError } from '../../base/errors.ts';
import { systemRandom } from '../../base/random.ts';
import type { HoldfastClient, Item } from '../../client/index.ts';
import { type Invocation, interruption, outputOf, withClient } from '../invocation.ts';
import type { Output } from '../output.ts';
import { sizeText } from '../value.ts';
import { type ExportDirectory, openExportDirectory } from './exportDirectory.ts';
import { planExport } from './exportPlan.ts';
import { inFlight } from './inFlight.ts';
import { parsePrefix } from './keyArgument.ts';

export function addExportCommand(kv: Command, invocation: Invocation): void {
  kv.command('export')
    .description('write every key to a file of its own, all as they were at one revision')
    .argument('<dir>', 'a directory that is empty or does not exist')
    .option('--prefix <prefix>', 'only the keys that begin with it, and without it in the names', '')
    .action(async (path: string, options: { readonly prefix: string }, command: Command) => {
      const prefix = parsePrefix(options.prefix);
      const output = outputOf(invocation, command);
      const { interrupted } = invocation;
      const run = async (client: HoldfastClient): Promise<void> => {
        const { revision, keys } = await keysOf(client, prefix, interrupted);
        const plan = planExport(keys, prefix);
        const directory = await openExportDirectory(path, systemRandom);
        const source = { client, prefix, revision, total: keys.length };
        const bytes = await fill(directory, { ...source, folders: plan.folders, output, interrupted });
        output.result({ keys: keys.length, bytes, revision }, [
          `${keys.length} ${keys.length === 1 ? 'key' : 'keys'} written to ${path}, ${sizeText(bytes)}, as of revision ${revision}`,
        ]);
      };
      await withClient(invocation, command, run, 'leave');
    });
}

async function keysOf(
  client: HoldfastClient,
  prefix: Buffer,
  interrupted: AbortSignal,
): Promise<{ readonly revision: number; readonly keys: readonly Buffer[] }> {
  let page = await client.range({ prefix, keysOnly: true });
  const { revision } = page;
  const keys = page.items.map((item) => item.key);
  while (page.nextPageToken !== null) {
    if (interrupted.aborted) throw interruption();
    page = await client.range({ prefix, keysOnly: true, revision, pageToken: page.nextPageToken });
    for (const item of page.items) keys.push(item.key);
  }
  return { revision, keys };
}

interface Filling {
  readonly client: HoldfastClient;
  readonly prefix: Buffer;
  readonly revision: number;
  readonly total: number;
  readonly folders: readonly string[];
  readonly output: Output;
  readonly interrupted: AbortSignal;
}

/** Writes every file; when that fails, what was written is taken away again. Resolves with the bytes written. */
async function fill(directory: ExportDirectory, filling: Filling): Promise<number> {
  const { client, prefix, revision, total, output, interrupted } = filling;
  let keys = 0;
  let bytes = 0;
  const write = async ({ key, value }: Item): Promise<void> => {
    await directory.write(key.subarray(prefix.length), value);
    keys += 1;
    bytes += value.length;
    output.progress(`${keys} of ${total} keys, ${sizeText(bytes)}`);
  };
  try {
    await directory.makeFolders(filling.folders);
    if (total > 0) {
      let page = await client.range({ prefix, revision });
      for (;;) {
        await inFlight(page.items, interrupted, write);
        if (interrupted.aborted) throw interruption();
        if (page.nextPageToken === null) break;
        page = await client.range({ prefix, revision, pageToken: page.nextPageToken });
      }
    }
    await directory.finish();
    return bytes;
  } catch (thrown) {
    await directory.undo();
    if (!interrupted.aborted) throw thrown;
    throw new HoldfastError('CANCELLED', 'interrupted; the files written so far were taken away again', {
      hint: 'run the export again',
    });
  } finally {
    output.progressDone();
  }
}
