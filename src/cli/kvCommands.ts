import type { Command } from 'commander';
import type { Invocation } from './invocation.ts';
import { addCompactCommand } from './kv/compact.ts';
import { addDeleteCommand } from './kv/delete.ts';
import { addExportCommand } from './kv/export.ts';
import { addGetCommand } from './kv/get.ts';
import { addHistoryCommand } from './kv/history.ts';
import { addImportCommand } from './kv/import.ts';
import { addListCommand } from './kv/list.ts';
import { addPutCommand } from './kv/put.ts';
import { addTransactionCommand } from './kv/transaction.ts';
import { addWatchCommand } from './kv/watch.ts';

/** `holdfast kv …` */
export function addKvCommands(program: Command, invocation: Invocation): void {
  const kv = program.command('kv').description('keys and their values');
  addPutCommand(kv, invocation);
  addGetCommand(kv, invocation);
  addDeleteCommand(kv, invocation);
  addListCommand(kv, invocation);
  addHistoryCommand(kv, invocation);
  addWatchCommand(kv, invocation);
  addTransactionCommand(kv, invocation);
  addCompactCommand(kv, invocation);
  addImportCommand(kv, invocation);
  addExportCommand(kv, invocation);
}
