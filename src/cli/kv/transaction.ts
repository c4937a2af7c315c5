import type { Command } from 'commander';
import { unreachable } from '../../base/assert.ts';
import { LIMITS } from '../../base/limits.ts';
import type { OperationResult } from '../../client/index.ts';
import { type Invocation, outputOf, withClient } from '../invocation.ts';
import { itemFields, keyText, valuePreview } from '../value.ts';
import { readFileBounded, readStreamBounded } from './boundedFile.ts';
import { parseTransaction } from './transactionDocument.ts';

/** Base64 and JSON escapes make a document longer than the request it becomes. */
const DOCUMENT_BOUND = { bytesMax: 2 * LIMITS.requestBytesMax, what: 'a transaction document' } as const;

export function addTransactionCommand(kv: Command, invocation: Invocation): void {
  kv.command('txn')
    .description('run a transaction from a JSON document: compares, then one of two branches, as one step')
    .argument('[file]', 'the document; - or nothing reads standard input', '-')
    .action(async (file: string, _options: unknown, command: Command) => {
      const { stdin, interrupted } = invocation;
      const bytes =
        file === '-'
          ? await readStreamBounded(stdin, DOCUMENT_BOUND, interrupted)
          : await readFileBounded(file, { ...DOCUMENT_BOUND, followLinks: true });
      const transaction = parseTransaction(bytes);
      await withClient(invocation, command, async (client) => {
        const { revision, succeeded, operations } = await client.transaction(transaction);
        outputOf(invocation, command).result(
          { revision, succeeded, operations: operations.map(resultFields) },
          [
            `${succeeded ? 'success' : 'failure'} branch ran, revision ${revision}`,
            ...operations.flatMap(resultLines),
          ],
        );
      });
    });
}

function resultFields(result: OperationResult): object {
  switch (result.kind) {
    case 'put':
      return { put: { previous: result.previous === null ? null : itemFields(result.previous) } };
    case 'delete':
      return { delete: { deleted: result.deleted, previous: result.previous.map(itemFields) } };
    case 'range':
      return {
        range: { items: result.items.map(itemFields), count: result.count, more: result.more },
      };
    default:
      return unreachable(result, 'operation result');
  }
}

function resultLines(result: OperationResult): string[] {
  switch (result.kind) {
    case 'put':
      return ['put: done'];
    case 'delete':
      return [`delete: ${result.deleted} deleted`];
    case 'range':
      return [
        `range: ${result.items.length} of ${result.count}`,
        ...result.items.map((item) => `  ${keyText(item.key)}  ${valuePreview(item.value)}`),
      ];
    default:
      return unreachable(result, 'operation result');
  }
}
