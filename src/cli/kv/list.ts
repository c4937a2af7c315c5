import type { Command } from 'commander';
import { HoldfastError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import { printableJson } from '../../base/printable.ts';
import type { HoldfastClient, KeySelector, RangePage } from '../../client/index.ts';
import { parseCount } from '../arguments.ts';
import { type Invocation, outputOf, withClient } from '../invocation.ts';
import type { Output } from '../output.ts';
import { itemFields, itemFieldsWithoutValue, keyText, sizeText, valuePreview } from '../value.ts';
import { addKeyOptions, type KeyOptions, parsePrefix, parseRevision } from './keyArgument.ts';

interface ListOptions extends KeyOptions {
  readonly keysOnly?: boolean;
  readonly limit?: string;
  readonly count?: boolean;
  readonly rev?: string;
  readonly serializable?: boolean;
}

/** What is asked for, checked. */
interface Listing {
  readonly selector: KeySelector;
  readonly keysOnly: boolean;
  /** How many keys in all. */
  readonly limit: number;
  readonly revision: number | undefined;
  readonly serializable: boolean;
}

export function addListCommand(kv: Command, invocation: Invocation): void {
  addKeyOptions(kv.command('list'))
    .description('the keys that begin with a prefix, or all, in the order of their bytes')
    .argument('[prefix]')
    .option('--keys-only', 'the keys alone, one a line')
    .option('--limit <count>', 'at most so many keys')
    .option('--count', 'only how many there are')
    .option('--rev <revision>', 'as it was at this revision')
    .option('--serializable', 'what one node has applied, which may be behind')
    .action(async (prefix: string | undefined, options: ListOptions, command: Command) => {
      const listing = parseListing(prefix, options);
      const output = outputOf(invocation, command);
      await withClient(invocation, command, async (client) => {
        if (options.count === true) await showCount(client, listing, output);
        else if (output.format === 'json') await showJson(client, listing, output);
        else if (listing.keysOnly) await showKeys(client, listing, output);
        else await showTable(client, listing, output);
      });
    });
}

function parseListing(prefix: string | undefined, options: ListOptions): Listing {
  if (options.count === true && (options.keysOnly === true || options.limit !== undefined)) {
    throw new HoldfastError('USAGE', '--count goes with neither --keys-only nor --limit', {
      field: '--count',
    });
  }
  const { limit, rev } = options;
  return {
    selector: { prefix: parsePrefix(prefix ?? '', options) },
    keysOnly: options.keysOnly ?? false,
    limit: limit === undefined ? Number.POSITIVE_INFINITY : parseCount(limit, { option: '--limit', min: 1 }),
    revision: rev === undefined ? undefined : parseRevision(rev),
    serializable: options.serializable ?? false,
  };
}

/** The pages of a listing, all at the revision of the first. */
async function* pagesOf(client: HoldfastClient, listing: Listing): AsyncGenerator<RangePage, undefined> {
  let left = listing.limit;
  let next: { revision?: number; pageToken?: Buffer } =
    listing.revision === undefined ? {} : { revision: listing.revision };
  for (;;) {
    // The limit stays the same from page to page, since a page token is good for the same request only.
    const limit = Math.min(listing.limit, LIMITS.pageKeysMax);
    const { selector, keysOnly, serializable } = listing;
    const page = await client.range({ ...selector, keysOnly, serializable, limit, ...next });
    yield { ...page, items: page.items.slice(0, left) };
    left -= page.items.length;
    if (page.nextPageToken === null || left <= 0) return undefined;
    next = { revision: page.revision, pageToken: page.nextPageToken };
  }
}

async function showCount(client: HoldfastClient, listing: Listing, output: Output): Promise<void> {
  const { selector, revision: wanted, serializable } = listing;
  const { count, revision } = await client.range({
    ...selector,
    countOnly: true,
    serializable,
    ...(wanted === undefined ? {} : { revision: wanted }),
  });
  output.result({ revision, count }, [String(count)]);
}

/** One object, written piece by piece: it may be longer than memory. */
async function showJson(client: HoldfastClient, listing: Listing, output: Output): Promise<void> {
  const view = listing.keysOnly ? itemFieldsWithoutValue : itemFields;
  let separator = '';
  let started = false;
  for await (const page of pagesOf(client, listing)) {
    if (!started) output.piece(`{"revision":${page.revision},"count":${page.count},"items":[`);
    started = true;
    for (const item of page.items) {
      output.piece(`${separator}${printableJson(view(item))}`);
      separator = ',';
    }
    await output.drained();
  }
  output.piece(']}\n');
}

async function showKeys(client: HoldfastClient, listing: Listing, output: Output): Promise<void> {
  for await (const page of pagesOf(client, listing)) {
    for (const item of page.items) output.line(keyText(item.key));
    await output.drained();
  }
}

async function showTable(client: HoldfastClient, listing: Listing, output: Output): Promise<void> {
  const rows: string[][] = [];
  let last: RangePage | null = null;
  for await (const page of pagesOf(client, listing)) {
    last = page;
    for (const { key, value, modRevision, version } of page.items) {
      const numbers = [String(modRevision), String(version), sizeText(value.length)];
      rows.push([keyText(key), ...numbers, valuePreview(value)]);
    }
  }
  output.table({}, { head: ['KEY', 'REVISION', 'VERSION', 'SIZE', 'VALUE'], rows });
  if (last !== null) output.note(`${rows.length} of ${last.count} keys at revision ${last.revision}`);
}
