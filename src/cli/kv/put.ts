import type { Command } from 'commander';
import { HoldfastError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import { type Invocation, outputOf, withClient } from '../invocation.ts';
import { itemFields, keyText } from '../value.ts';
import { readFileBounded, readStreamBounded } from './boundedFile.ts';
import { addKeyOptions, type KeyOptions, parseKey } from './keyArgument.ts';

interface PutOptions extends KeyOptions {
  readonly file?: string;
  readonly previous?: boolean;
}

const VALUE_BOUND = { bytesMax: LIMITS.valueBytesMax, what: 'the value' } as const;

export function addPutCommand(kv: Command, invocation: Invocation): void {
  addKeyOptions(kv.command('put'))
    .description('store a value')
    .argument('<key>')
    .argument('[value]', 'the value itself; - reads it from standard input')
    .option('--file <path>', 'take the value from a file, byte for byte')
    .option('--previous', 'also show what was there before')
    .action(async (text: string, argument: string | undefined, options: PutOptions, command: Command) => {
      const key = parseKey(text, options);
      const value = await readValue(argument, options.file, invocation);
      const output = outputOf(invocation, command);
      await withClient(invocation, command, async (client) => {
        const previous = options.previous ?? false;
        const answer = await client.put(key, value, { previous });
        const before = answer.previous === null ? null : itemFields(answer.previous);
        output.result({ revision: answer.revision, ...(previous ? { previous: before } : {}) }, [
          `${keyText(key)} stored at revision ${answer.revision}`,
        ]);
        if (previous && output.format === 'table') {
          if (answer.previous === null) output.note('there was no value before');
          else output.raw(answer.previous.value);
        }
      });
    });
}

async function readValue(
  argument: string | undefined,
  file: string | undefined,
  invocation: Invocation,
): Promise<Buffer> {
  if (file !== undefined && argument !== undefined) {
    throw new HoldfastError('USAGE', 'give the value or --file, not both', { field: 'value' });
  }
  if (file !== undefined) return readFileBounded(file, { ...VALUE_BOUND, followLinks: true });
  if (argument === undefined) {
    throw new HoldfastError('USAGE', 'a value is needed', {
      field: 'value',
      hint: 'holdfast kv put KEY VALUE, or --file FILE, or - for standard input',
    });
  }
  if (argument === '-') return readStreamBounded(invocation.stdin, VALUE_BOUND, invocation.interrupted);
  const value = Buffer.from(argument, 'utf8');
  if (value.length <= LIMITS.valueBytesMax) return value;
  throw new HoldfastError(
    'TOO_LARGE',
    `the value has ${value.length} bytes; the limit is ${LIMITS.valueBytesMax}`,
    { field: 'value', hint: 'split it over several keys' },
  );
}
