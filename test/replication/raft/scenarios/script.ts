/**
 * A script is blocks: comments and empty lines, one or more command lines, a line `----`, and the lines that the
 * commands are expected to print, which end at an empty line or at the end of the file.
 */
export interface Block {
  /** Comments and empty lines before the commands, as they are. */
  readonly preamble: readonly string[];
  readonly commands: readonly string[];
  readonly expected: readonly string[];
}

export interface Script {
  readonly blocks: readonly Block[];
  /** What follows the last block. */
  readonly ending: readonly string[];
}

const DIVIDER = '----';

const isPreamble = (line: string): boolean => line.trim() === '' || line.startsWith('#');

/** @throws Error when commands are not followed by a divider */
export function parseScript(text: string): Script {
  const lines = text.replace(/\n+$/, '').split('\n');
  const blocks: Block[] = [];
  let at = 0;
  const take = (wanted: (line: string) => boolean): string[] => {
    const from = at;
    while (at < lines.length && wanted(lines[at] ?? '')) at += 1;
    return lines.slice(from, at);
  };
  for (;;) {
    const preamble = take(isPreamble);
    if (at >= lines.length) return { blocks, ending: preamble };
    const commands = take((line) => line !== DIVIDER && line.trim() !== '').filter(
      (line) => !line.startsWith('#'),
    );
    if (lines[at] !== DIVIDER) throw new Error(`line ${at + 1}: commands end with a line ${DIVIDER}`);
    at += 1;
    blocks.push({ preamble, commands, expected: take((line) => line !== '') });
  }
}

export function renderScript(script: Script): string {
  const lines = script.blocks.flatMap((block) => [
    ...block.preamble,
    ...block.commands,
    DIVIDER,
    ...block.expected,
  ]);
  return `${[...lines, ...script.ending].join('\n')}\n`;
}

/** One command line: `name 1 2 key=value word "several words"`. */
export interface Command {
  readonly name: string;
  /** Whole numbers without a key: nodes. */
  readonly nodes: readonly number[];
  readonly options: ReadonlyMap<string, string>;
  readonly words: readonly string[];
  /** Ends with the word `quiet`: nothing is printed but errors. */
  readonly quiet: boolean;
}

export function parseCommand(line: string): Command {
  const tokens = line.match(/"[^"]*"|[^\s"]+/g) ?? [];
  const [name = '', ...rest] = tokens;
  const quiet = rest.at(-1) === 'quiet';
  const nodes: number[] = [];
  const words: string[] = [];
  const options = new Map<string, string>();
  for (const token of quiet ? rest.slice(0, -1) : rest) {
    const option = /^([a-z-]+)=(.*)$/.exec(token);
    if (option !== null) options.set(option[1] ?? '', option[2] ?? '');
    else if (/^\d+$/.test(token)) nodes.push(Number(token));
    else words.push(token.replaceAll('"', ''));
  }
  return { name, nodes, options, words, quiet };
}

/** `1,2,3` as numbers; empty when absent. */
export function numbers(text: string | undefined): number[] {
  if (text === undefined || text === '') return [];
  return text.split(',').map((part) => {
    const number = Number(part);
    if (!Number.isSafeInteger(number) || number < 0) throw new Error(`${part} is not a number`);
    return number;
  });
}
