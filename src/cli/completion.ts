import { Argument, type Command } from 'commander';
import type { Invocation } from './invocation.ts';

const SHELLS = ['bash', 'zsh', 'fish'] as const;
type Shell = (typeof SHELLS)[number];

/** What may follow after some words: `kv` -> put, get, … The empty text is the program itself. */
type Words = ReadonlyMap<string, readonly string[]>;

/** `holdfast completion SHELL`: a script that completes commands and options, made from the commands themselves. */
export function addCompletionCommand(program: Command, invocation: Invocation): void {
  program
    .command('completion')
    .description('a completion script for a shell: source <(holdfast completion bash)')
    .addArgument(new Argument('<shell>').choices(SHELLS))
    .action((shell: Shell) => {
      const script = SCRIPTS[shell](wordsOf(program));
      invocation.streams.stdout.write(script);
    });
}

function wordsOf(program: Command): Words {
  const words = new Map<string, readonly string[]>();
  const globals = optionsOf(program);
  const visit = (command: Command, path: readonly string[]): void => {
    const names = command.commands.map((one) => one.name());
    const options = path.length === 0 ? [] : optionsOf(command);
    words.set(path.join(' '), [...names, ...options, ...globals, '--help']);
    for (const one of command.commands) visit(one, [...path, one.name()]);
  };
  visit(program, []);
  return words;
}

function optionsOf(command: Command): readonly string[] {
  return command.options.flatMap(({ long }) => (typeof long === 'string' ? [long] : []));
}

const SCRIPTS: Readonly<Record<Shell, (words: Words) => string>> = {
  bash: (words) => `${bashFunction(words)}complete -o default -F _holdfast holdfast\n`,
  zsh: (words) =>
    `autoload -U +X bashcompinit && bashcompinit\n${bashFunction(words)}complete -o default -F _holdfast holdfast\n`,
  fish: (words) =>
    [...words]
      .map(([path, next]) => `complete -c holdfast -n '${fishCondition(path)}' -a '${next.join(' ')}'\n`)
      .join(''),
};

function bashFunction(words: Words): string {
  const cases = [...words].map(([path, next]) => `    '${path}') next='${next.join(' ')}' ;;\n`).join('');
  return `_holdfast() {
  local word before='' path='' next=''
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$before" in --output | --context | --timeout) before=''; continue ;; esac
    before="$word"
    case "$word" in -*) ;; *) [ "\${path/ /}" = "$path" ] && path="\${path:+$path }$word" ;; esac
  done
  case "$path" in
${cases}  esac
  COMPREPLY=($(compgen -W "$next" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
`;
}

function fishCondition(path: string): string {
  if (path === '') return '__fish_use_subcommand';
  const seen = path.split(' ').map((word) => `__fish_seen_subcommand_from ${word}`);
  return seen.join('; and ');
}
