import { PassThrough } from 'node:stream';
import type { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { buildProgram } from '../../src/cli/program.ts';
import { allDocuments, codeSpansOf, fencesOf } from './documents.ts';

const program = buildProgram({
  environment: {},
  streams: { stdout: new PassThrough(), stderr: new PassThrough() },
  stdin: new PassThrough(),
  interrupted: new AbortController().signal,
  exit: { status: 0 },
});

/** The words of a shell line, quotes taken off, up to where another program begins. */
function wordsOf(line: string): readonly string[] {
  const words = [...line.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map(([, double, single, bare]) => ({
    text: double ?? single ?? bare ?? '',
    isBare: bare !== undefined,
  }));
  const end = words.findIndex(({ text, isBare }) => isBare && /^(?:[|>&#;]|2>|&&)/.test(text));
  return words.slice(0, end === -1 ? undefined : end).map(({ text }) => text);
}

/** What follows the program's name in a line, or null when it is not about us. */
function argumentsIn(line: string): string | null {
  const match =
    /^\s*(?:npx )?holdfast (\S.*)$/.exec(line) ?? /docker-compose run --rm cli (\S.*)$/.exec(line);
  return match?.[1] ?? null;
}

function optionsOf(command: Command): ReadonlyMap<string, boolean> {
  const known = [...command.options, ...program.options].flatMap((option) =>
    [option.long, option.short].map((name) => [name ?? '', option.required || option.optional] as const),
  );
  return new Map([...known, ['--help', false], ['-h', false]]);
}

/** Splits what was typed into the command and the rest; the rest without options, whose names must be known. */
function parse(line: string): { command: Command; operands: readonly string[]; problem: string | null } {
  const words = [...wordsOf(line)];
  let command = program;
  const operands: string[] = [];
  for (let word = words.shift(); word !== undefined; word = words.shift()) {
    if (word.startsWith('-') && word.length > 1) {
      const takesValue = optionsOf(command).get(word.split('=')[0] ?? '');
      if (takesValue === undefined) return { command, operands, problem: `${word} is no option` };
      if (takesValue && !word.includes('=')) words.shift();
      continue;
    }
    const next = operands.length > 0 ? undefined : command.commands.find((one) => one.name() === word);
    if (next !== undefined) command = next;
    else if (command.commands.length > 0) return { command, operands, problem: `${word} is no command` };
    else operands.push(word);
  }
  return { command, operands, problem: null };
}

/** Why this cannot be typed, or null. A mention in the text may leave arguments out. */
function problemOf(line: string, { isMention }: { isMention: boolean }): string | null {
  const { command, operands, problem } = parse(line);
  if (problem !== null) return `${line}: ${problem}`;
  const accepted = command.registeredArguments;
  if (!accepted.some(({ variadic }) => variadic) && operands.length > accepted.length)
    return `${line}: too many arguments`;
  const needed = accepted.filter(({ required }) => required).length;
  const asksForHelp = line.includes('--help');
  if (isMention || asksForHelp) return null;
  if (command.commands.length > 0) return `${line}: a command is missing`;
  return operands.length < needed ? `${line}: an argument is missing` : null;
}

/** `a|b [--c d]` as the lines that it stands for; none for one that names no command, as `COMMAND` or `…`. */
function spelledOut(synopsis: string): readonly string[] {
  if (/^(?:[A-Z…])/.test(synopsis)) return [];
  const words = synopsis.replaceAll('\\|', '|').replaceAll(/[[\]]/g, '').split(' ');
  let lines = [''];
  for (const word of words) {
    const choices = /^\w[\w-]*(?:\|[\w-]+)+$/.test(word) ? word.split('|') : [word];
    lines = lines.flatMap((line) => choices.map((choice) => `${line} ${choice}`.trim()));
  }
  return lines;
}

describe('a command that is shown', () => {
  it('in a block can be typed', () => {
    const lines = allDocuments().flatMap(({ text }) =>
      fencesOf(text)
        .filter(({ language }) => language === 'sh')
        .flatMap(({ body }) => body.replaceAll('\\\n', ' ').split('\n'))
        .flatMap((line) => argumentsIn(line) ?? []),
    );
    expect(lines.length).toBeGreaterThan(20);
    expect(lines.flatMap((line) => problemOf(line, { isMention: false }) ?? [])).toEqual([]);
  });

  it('in the text exists, with its options', () => {
    const spans = allDocuments().flatMap(({ text }) =>
      codeSpansOf(text)
        .flatMap((span) => argumentsIn(span) ?? [])
        .flatMap(spelledOut),
    );
    expect(spans.length).toBeGreaterThan(20);
    expect(spans.flatMap((span) => problemOf(span, { isMention: true }) ?? [])).toEqual([]);
  });

  it('is spelled out from a synopsis', () => {
    expect(spelledOut('member promote\\|demote M [--force]')).toEqual([
      'member promote M --force',
      'member demote M --force',
    ]);
    expect(spelledOut('COMMAND --help')).toEqual([]);
  });

  it.each(['kv putt a b', 'kv get', 'kv get a --revv 1', 'status now', 'kv', 'member promote a b'])(
    'would be found: %s',
    (line) => {
      expect(problemOf(line, { isMention: false })).not.toBeNull();
    },
  );
});
