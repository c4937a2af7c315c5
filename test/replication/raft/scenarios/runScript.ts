import { perform } from './commands.ts';
import { parseCommand, type Script } from './script.ts';
import { World } from './world.ts';

/** Plays a script from the start; returns it with what was printed as what is expected. */
export function runScript(script: Script): Script {
  const world = new World();
  const blocks = script.blocks.map((block) => ({ ...block, expected: runBlock(world, block.commands) }));
  return { ...script, blocks };
}

function runBlock(world: World, commands: readonly string[]): readonly string[] {
  const printed = commands.flatMap((line) => {
    const command = parseCommand(line);
    world.lines.length = 0;
    try {
      perform(world, command);
    } catch (error) {
      throw new Error(`in "${line}"\n${world.lines.join('\n')}`, { cause: error });
    }
    return command.quiet ? world.lines.filter((said) => said.includes(' stops: ')) : [...world.lines];
  });
  return printed.length === 0 ? ['ok'] : printed;
}
