import type { Command } from 'commander';
import type { NodeConfiguration } from '../../node/configuration.ts';
import { SETTINGS, type SettingName } from '../../node/settings.ts';
import type { Invocation } from '../invocation.ts';

const NAMES = Object.keys(SETTINGS) as SettingName[];

/** Gives a command a flag for each of the node's settings (or some), and `--config FILE`. */
export function addSettingOptions(command: Command, names: readonly SettingName[] = NAMES): Command {
  command.option('--config <file>', 'a YAML file with settings');
  for (const name of names) {
    const { flag, placeholder, description, fallback } = SETTINGS[name];
    const shown = fallback === null ? description : `${description} (default: ${fallback})`;
    command.option(`--${flag} <${placeholder}>`, shown);
  }
  return command;
}

/**
 * The checked settings of a command: flag > environment > file > default. What only a node needs is imported when such
 * a command runs, here and beside: the commands of a client start in half the time.
 */
export async function settingsOf(command: Command, invocation: Invocation): Promise<NodeConfiguration> {
  const { loadConfiguration } = await import('../../node/configuration.ts');
  const options = command.opts<Record<string, string | undefined>>();
  const flags = new Map<string, string>();
  for (const name of NAMES) {
    const value = options[name];
    if (value !== undefined) flags.set(name, value);
  }
  const file = options['config'] ?? invocation.environment['HOLDFAST_CONFIG_FILE'] ?? null;
  return loadConfiguration({ flags, environment: invocation.environment, file });
}
