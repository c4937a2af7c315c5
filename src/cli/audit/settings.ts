import type { Command } from 'commander';
import { parseDuration } from '../arguments.ts';
import { type Invocation, outputOf, withClient } from '../invocation.ts';

interface SettingsOptions {
  readonly reads?: readonly string[];
  readonly retention?: string;
}

const FOR_EVER = 'forever';
const DAY_MS = 86_400_000;

/** `holdfast audit settings`: shows them, and changes what is given. */
export function addSettingsCommand(audit: Command, invocation: Invocation): void {
  audit
    .command('settings')
    .description('of which names every read is recorded, and how long records are kept')
    .option('--reads <pattern...>', "names whose values are handed out only with a record, e.g. 'secrets/**'")
    .option('--retention <duration>', `how long records are kept, e.g. 90d, or ${FOR_EVER}`)
    .action(async ({ reads, retention }: SettingsOptions, command: Command) => {
      await withClient(invocation, command, async (client) => {
        const before = await client.audit.settings();
        const settings = {
          reads: reads ?? before.reads,
          retentionMs: retention === undefined ? before.retentionMs : retentionOf(retention),
        };
        if (reads !== undefined || retention !== undefined) await client.audit.setSettings(settings);
        const kept = settings.retentionMs === 0 ? FOR_EVER : `${settings.retentionMs / DAY_MS} days`;
        outputOf(invocation, command).result({ ...settings, reads: [...settings.reads] }, [
          `reads recorded of: ${settings.reads.join(' ') || 'nothing'}`,
          `records kept: ${kept}`,
        ]);
      });
    });
}

const retentionOf = (text: string): number => (text === FOR_EVER ? 0 : parseDuration(text, '--retention'));
