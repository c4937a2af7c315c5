import process from 'node:process';
import { setFlagsFromString } from 'node:v8';
import type { Command } from 'commander';
import type { HoldfastError } from '../base/errors.ts';
import { type Invocation, outputOf } from './invocation.ts';
import { addSettingOptions, settingsOf } from './offline/settingOptions.ts';
import { programVersion } from './version.ts';

/**
 * The heap may double before all of it is collected again. V8 keeps so small a heap closer, and collects it every few
 * seconds: callers wait for that. It is no flag of `NODE_OPTIONS`; a V8 without it goes on as it was.
 */
const HEAP_GROWTH = '--heap-growing-percent=100';

/** `holdfast server`: runs this node until it is told to stop. */
export function addServerCommand(program: Command, invocation: Invocation): void {
  addSettingOptions(program.command('server').description('run this node')).action(
    async (_options: unknown, command: Command) => {
      setFlagsFromString(HEAP_GROWTH);
      const [{ HoldfastNode }, { createLogger }] = await Promise.all([
        import('../node/holdfastNode.ts'),
        import('../node/logger.ts'),
      ]);
      const configuration = await settingsOf(command, invocation);
      const logger = createLogger({ level: configuration.logLevel, node: configuration.name });
      const stopped = stopRequested(invocation.interrupted);
      const node = await HoldfastNode.start(configuration, {
        logger,
        version: programVersion(),
        onFatal: (error: HoldfastError) => {
          logger.error(
            {
              code: error.code,
              hint: error.hint,
              cause: error.cause instanceof Error ? error.cause.message : '',
            },
            error.message,
          );
          // Nothing may be acknowledged any more: not even an orderly stop.
          process.exit(1);
        },
      });
      outputOf(invocation, command).note(
        `${configuration.name} is up: clients at ${node.apiAddress}, nodes at ${node.peerAddress}`,
      );
      await stopped;
      await node.stop();
      // All is durable and closed. What may still be open is not ours to wait for: the channel to a parent, a name
      // look-up of a peer that is gone.
      process.exit(0);
    },
  );
}

/** Ctrl-C, SIGTERM, or the end of the process that started this one with a channel. */
function stopRequested(interrupted: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    interrupted.addEventListener('abort', () => resolve(), { once: true });
    process.once('disconnect', () => resolve());
    // Listening holds the channel open, and the channel the process: one that cannot start would stay for ever.
    process.channel?.unref();
  });
}
