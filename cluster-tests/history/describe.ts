/** Operations as people read them. */
import { unreachable } from '../../src/base/assert.ts';
import type { OperationLine, Seen, StepAnswer, TxnCompare, TxnStep } from './types.ts';

const VALUE_SHOWN_MAX = 60;

/** One line: who, when, what, what came of it. Times in milliseconds. */
export function describe(line: OperationLine): string {
  const from = ms(line.call);
  const to = line.ret === null ? '…' : ms(line.ret);
  const revision = line.rev === null ? '' : ` at revision ${line.rev}`;
  const outcome =
    line.status === 'ok' ? `${told(line)}${revision}` : `${line.status} (${line.error ?? 'never answered'})`;
  return `client ${line.client} [${from} – ${to}] ${asked(line)} → ${outcome}`;
}

export function describeItem(item: Seen | null | undefined): string {
  if (item === undefined) return 'not told';
  if (item === null) return 'nothing';
  return `${short(item.value)} (version ${item.version}, revision ${item.mod}, created at ${item.create})`;
}

function ms(us: number): string {
  return (us / 1_000).toFixed(3);
}

function short(value: string): string {
  return value.length <= VALUE_SHOWN_MAX ? value : `${value.slice(0, VALUE_SHOWN_MAX)}…`;
}

function asked(line: OperationLine): string {
  switch (line.f) {
    case 'get':
      return `get ${line.key}${reading(line)}`;
    case 'range':
      return `range ${line.key}*${reading(line)}`;
    case 'put':
      return `put ${line.key} = ${short(line.a)}`;
    case 'delete':
      return `delete ${line.key}`;
    case 'cas': {
      const expected = 'value' in line.a ? short(line.a.value) : `revision ${line.a.mod}`;
      return `cas ${line.key}: ${expected} ⇒ ${short(line.b)}`;
    }
    case 'txn': {
      const { compares, success, failure } = line.a;
      const otherwise = failure.length === 0 ? '' : ` else ${steps(failure)}`;
      return `txn if ${compares.map(condition).join(' and ') || 'anything'} then ${steps(success)}${otherwise}`;
    }
    default:
      return unreachable(line, 'operation');
  }
}

function reading(line: { readonly a: string; readonly b: number }): string {
  return `${line.a === 'linearizable' ? '' : ` ${line.a}`}${line.b === 0 ? '' : ` as of ${line.b}`}`;
}

function condition(compare: TxnCompare): string {
  return `${compare.target}(${compare.key}) ${compare.relation} ${compare.wanted}`;
}

function steps(list: readonly TxnStep[]): string {
  return `{${list.map(step).join('; ')}}`;
}

function step(step: TxnStep): string {
  if (step.op === 'put') return `put ${step.key} = ${short(step.value)}`;
  return step.op === 'range' ? `range ${step.prefix}*` : `${step.op} ${step.key}`;
}

function told(line: OperationLine): string {
  switch (line.f) {
    case 'get':
      return describeItem(line.out?.item);
    case 'range':
      return items(line.out?.items ?? []);
    case 'put':
      return 'done';
    case 'delete':
      return line.out?.deleted === true ? 'deleted' : 'was not there';
    case 'cas':
      return line.out?.swapped === true ? 'swapped' : `refused, there was ${describeItem(line.out?.item)}`;
    case 'txn':
      return `${line.out?.succeeded === true ? 'held' : 'did not hold'}: ${line.out?.results.map(result).join('; ') ?? ''}`;
    default:
      return unreachable(line, 'operation');
  }
}

function result(answer: StepAnswer): string {
  switch (answer.op) {
    case 'put':
      return 'put';
    case 'delete':
      return answer.deleted ? 'deleted' : 'was not there';
    case 'get':
      return describeItem(answer.item);
    case 'range':
      return items(answer.items);
    case 'withheld':
      return 'withheld';
    default:
      return unreachable(answer, 'answer');
  }
}

function items(list: readonly Seen[]): string {
  return `[${list.map((item) => `${item.key} = ${short(item.value)}@${item.mod}`).join(', ')}]`;
}
