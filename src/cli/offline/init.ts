import { X509Certificate } from 'node:crypto';
import type { Command } from 'commander';
import { authorityFingerprint } from '../../client/index.ts';
import { contextPath, readContextFile, saveContext } from '../context.ts';
import { type Invocation, outputOf } from '../invocation.ts';
import { orInterrupted } from './interrupted.ts';
import { addSettingOptions, settingsOf } from './settingOptions.ts';

interface InitOptions {
  readonly contextFile?: string;
  readonly contextName: string;
}

/** `holdfast init`: makes the first node of a new cluster, and the first administrator's context. */
export function addInitCommand(program: Command, invocation: Invocation): void {
  addSettingOptions(program.command('init').description('make the first node of a new cluster'))
    .option('--context-file <path>', "where the administrator's context goes; default: the context file")
    .option('--context-name <name>', 'its name there', 'default')
    .action(async (options: InitOptions, command: Command) => {
      const path = options.contextFile ?? contextPath(invocation.environment);
      // Before anything is made: a file that cannot take the context would end it halfway.
      readContextFile(path);
      const { initCluster } = await import('../../node/initCluster.ts');
      const settings = await settingsOf(command, invocation);
      const work = initCluster(settings, async ({ endpoint, ...secrets }) => {
        await saveContext(path, { name: options.contextName, endpoints: [endpoint], ...secrets });
      });
      const made = await orInterrupted(work, invocation.interrupted);
      const caFingerprint = authorityFingerprint(new X509Certificate(made.admin.ca).raw);
      outputOf(invocation, command).result(
        {
          clusterId: made.clusterId,
          nodeId: made.nodeId,
          controlKeyFingerprint: made.controlKeyFingerprint,
          keyFiles: made.keyFiles,
          contextFile: path,
          caFingerprint,
          user: 'admin',
          password: made.adminPassword,
        },
        [
          `cluster ${made.clusterId}, first node ${made.nodeId}`,
          ...made.keyFiles.map((file) => `wrote ${file}: keep a copy in a safe place`),
          `control key ${made.controlKeyFingerprint}`,
          `CA ${caFingerprint}`,
          `administrator's context: ${path}`,
          `first user: admin, password ${made.adminPassword} (shown only this once)`,
          'next: holdfast server (with the same settings), then holdfast status',
        ],
      );
    });
}
