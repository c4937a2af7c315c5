import { setTimeout as delay } from 'node:timers/promises';
import type { Command } from 'commander';
import { exportFields } from '../../audit/exportFormat.ts';
import { ALERTS } from '../../audit/query.ts';
import { isWithoutEnd } from '../../audit/record/rangeEnd.ts';
import { asBuffer } from '../../base/bytes.ts';
import { printable } from '../../base/printable.ts';
import type { AuditEntry, AuditListOptions, HoldfastClient } from '../../client/index.ts';
import { parseCount } from '../arguments.ts';
import { type Invocation, outputOf, withClient } from '../invocation.ts';
import type { Output } from '../output.ts';
import { timeText } from '../value.ts';
import { addSelection, type SelectionOptions, selectionOf } from './selection.ts';

/** Between two looks at what has come. */
const TAIL_INTERVAL_MS = 500;

export function addListCommand(audit: Command, invocation: Invocation): void {
  addSelection(audit.command('list'))
    .description('the records, the oldest first')
    .option('--limit <n>', 'so many at most')
    .action((options: ListOptions, command: Command) =>
      list({ selection: selectionOf(options), limit: options.limit, what: 'records' }, invocation, command),
    );
}

/** `holdfast audit alerts`: those records that say what the rules have found. */
export function addAlertsCommand(audit: Command, invocation: Invocation): void {
  audit
    .command('alerts')
    .description('what the alert rules have found, the oldest first')
    .option('--since <when>', 'not before: 30m, 12h, 30d ago, or 2026-01-31T12:00:00Z')
    .option('--until <when>', 'before')
    .option('--limit <n>', 'so many at most')
    .action((options: ListOptions, command: Command) => {
      const selection = { ...selectionOf(options), action: ALERTS };
      return list({ selection, limit: options.limit, what: 'alerts' }, invocation, command);
    });
}

interface ListOptions extends SelectionOptions {
  readonly limit?: string;
}

async function list(
  wanted: {
    readonly selection: AuditListOptions;
    readonly limit: string | undefined;
    readonly what: string;
  },
  invocation: Invocation,
  command: Command,
): Promise<void> {
  const { selection, limit, what } = wanted;
  const most =
    limit === undefined ? Number.POSITIVE_INFINITY : parseCount(limit, { option: '--limit', min: 1 });
  const output = outputOf(invocation, command);
  await withClient(invocation, command, async (client) => {
    let shown = 0;
    for await (const record of client.audit.records(selection)) {
      if (shown >= most) break;
      show(output, record);
      shown += 1;
      await output.drained();
    }
    output.note(`${shown} ${what}`);
  });
}

export function addTailCommand(audit: Command, invocation: Invocation): void {
  addSelection(audit.command('tail'))
    .description('the records as they come, from now on or --since, until it is interrupted')
    .action(async (options: SelectionOptions, command: Command) => {
      const selection = selectionOf(options);
      const output = outputOf(invocation, command);
      await withClient(
        invocation,
        command,
        (client) => follow(client, { selection, output, invocation }),
        'leave',
      );
    });
}

async function follow(
  client: HoldfastClient,
  { selection, output, invocation }: { selection: AuditListOptions; output: Output; invocation: Invocation },
): Promise<void> {
  const { interrupted } = invocation;
  let next = selection.sinceMs === undefined ? (await client.audit.head()).sequence + 1 : 0;
  while (!interrupted.aborted) {
    // First how far it goes: a page without matches does not say where it ended.
    const { sequence: head } = await client.audit.head();
    const page =
      head < next
        ? { records: [], nextSequence: 0 }
        : await client.audit.list({ ...selection, fromSequence: next });
    for (const record of page.records) show(output, record);
    const last = page.records.at(-1)?.sequence ?? 0;
    next = page.nextSequence || Math.max(next, head + 1, last + 1);
    await output.drained();
    if (page.nextSequence === 0)
      await delay(TAIL_INTERVAL_MS, undefined, { signal: interrupted }).catch(() => undefined);
  }
}

function show(output: Output, record: AuditEntry): void {
  const { timeMs, principalKind, principal, action, result, address, count, detail } = record;
  const times = count > 1 ? ` x${count}` : '';
  const more = detail === '' ? '' : `(${printable(detail)})`;
  const end = result === 'OK' ? output.good('OK') : output.bad(result);
  const who = printable(`${principalKind} ${principal}`.trim());
  const said = [
    timeText(timeMs),
    who,
    action,
    `${resourceText(record)}${times}`,
    end,
    printable(address),
    more,
  ];
  const line = said.filter((text) => text !== '').join('  ');
  output.item(exportFields(record), line);
}

/** A range as `start..end`. */
export function resourceText({
  resource,
  resourceEnd,
}: Pick<AuditEntry, 'resource' | 'resourceEnd'>): string {
  const start = printable(asBuffer(resource).toString('utf8'));
  if (resourceEnd.length === 0) return start === '' ? '-' : start;
  const isOpen = isWithoutEnd(resourceEnd);
  return `${start}..${isOpen ? '' : printable(asBuffer(resourceEnd).toString('utf8'))}`;
}

interface Seen {
  readonly kind: string;
  readonly principal: string;
  readonly action: string;
  readonly result: string;
  readonly firstMs: number;
  lastMs: number;
  count: number;
}

/** `holdfast audit secret --name NAME`: who saw it, or changed it. */
export function addSecretCommand(audit: Command, invocation: Invocation): void {
  audit
    .command('secret')
    .description('who has seen or changed one name, and when first and last')
    .requiredOption('--name <name>', 'the whole name')
    .option('--since <when>', 'not before: 30m, 12h, 30d ago, or 2026-01-31T12:00:00Z')
    .action(async ({ name, since }: { readonly name: string; readonly since?: string }, command: Command) => {
      const selection = selectionOf({ resource: name, ...(since === undefined ? {} : { since }) });
      await withClient(invocation, command, async (client) => {
        const seen = new Map<string, Seen>();
        for await (const record of client.audit.records(selection)) note(seen, record);
        const all = [...seen.values()].map(({ firstMs, lastMs, ...rest }) => ({
          ...rest,
          first: timeText(firstMs),
          last: timeText(lastMs),
        }));
        outputOf(invocation, command).table(
          { name, seen: all },
          {
            head: ['WHO', 'ACTION', 'RESULT', 'COUNT', 'FIRST', 'LAST'],
            rows: all.map(({ kind, principal, action, result, count, first, last }) => [
              printable(`${kind} ${principal}`),
              action,
              result,
              String(count),
              first,
              last,
            ]),
          },
        );
      });
    });
}

function note(seen: Map<string, Seen>, record: AuditEntry): void {
  const { principalKind: kind, principal, action, result, timeMs, count } = record;
  const key = [kind, principal, action, result].join('\n');
  const known = seen.get(key) ?? {
    kind,
    principal,
    action,
    result,
    firstMs: timeMs,
    lastMs: timeMs,
    count: 0,
  };
  known.lastMs = timeMs;
  known.count += count;
  seen.set(key, known);
}
