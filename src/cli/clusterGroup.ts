import type { Command } from 'commander';

/** The commands `holdfast cluster …`, made when the first of them is added. */
export function clusterGroup(program: Command): Command {
  const known = program.commands.find((command) => command.name() === 'cluster');
  return known ?? program.command('cluster').description('what concerns the cluster as a whole');
}
