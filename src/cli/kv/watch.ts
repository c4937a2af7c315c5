import type { Command } from 'commander';
import type { WatchEvent } from '../../client/index.ts';
import { type Invocation, outputOf, withClient } from '../invocation.ts';
import type { Output } from '../output.ts';
import { itemFields, itemFieldsWithoutValue, keyText, sizeText, valuePreview } from '../value.ts';
import { addKeyOptions, parseRevision, parseSelection, type SelectionOptions } from './keyArgument.ts';

interface WatchCommandOptions extends SelectionOptions {
  readonly rev?: string;
  readonly previous?: boolean;
}

export function addWatchCommand(kv: Command, invocation: Invocation): void {
  addKeyOptions(kv.command('watch'))
    .description('show changes as they happen, until Ctrl-C; without a key, all changes')
    .argument('[key]')
    .option('--prefix <prefix>', 'all keys that begin with it')
    .option('--rev <revision>', 'begin with the changes of this revision')
    .option('--previous', 'also show what was there before')
    .action(async (key: string | undefined, options: WatchCommandOptions, command: Command) => {
      const selector = parseSelection(key, options, { selector: { prefix: '' } });
      const previous = options.previous ?? false;
      const start = options.rev === undefined ? {} : { startRevision: parseRevision(options.rev) };
      const output = outputOf(invocation, command);
      const { interrupted } = invocation;
      const show = async (client: Parameters<Parameters<typeof withClient>[2]>[0]): Promise<void> => {
        const watch = client.watch({ ...selector, ...start, previous });
        const end = (): void => watch.close();
        interrupted.addEventListener('abort', end);
        if (interrupted.aborted) return;
        watch.ready().then(
          (revision) => output.note(`watching from revision ${revision + 1}; Ctrl-C ends`),
          // The loop below meets the same error.
          () => undefined,
        );
        for await (const batch of watch) {
          for (const event of batch.events) showEvent(event, { previous, output });
          await output.drained();
        }
      };
      await withClient(invocation, command, show, 'leave');
    });
}

function showEvent(
  event: WatchEvent,
  { previous, output }: { readonly previous: boolean; readonly output: Output },
): void {
  const { type, item, withheld } = event;
  const isValue = type === 'put' && !withheld;
  const fieldsOf = withheld ? itemFieldsWithoutValue : itemFields;
  const fields = isValue ? itemFields(item) : itemFieldsWithoutValue(item);
  const before = event.previous === null ? null : fieldsOf(event.previous);
  const json = {
    type,
    revision: item.modRevision,
    ...fields,
    ...(previous ? { previous: before } : {}),
    ...(withheld ? { withheld } : {}),
  };
  const value = isValue ? `  ${sizeText(item.value.length)}  ${valuePreview(item.value)}` : '';
  const told = previous && event.previous !== null && !withheld;
  const was = told ? `  (was ${valuePreview(event.previous.value)})` : '';
  const hidden = withheld ? '  (value withheld)' : '';
  output.item(json, `${item.modRevision}  ${type}  ${keyText(item.key)}${value}${was}${hidden}`);
}
