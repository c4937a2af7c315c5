import type { Command } from 'commander';
import { HoldfastError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import type { AuditClient, AuditSettings } from '../../client/index.ts';
import { parseDuration } from '../arguments.ts';
import { type Invocation, outputOf, withClient } from '../invocation.ts';
import { timeText } from '../value.ts';

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
        const given = {
          ...(reads === undefined ? {} : { reads }),
          ...(retention === undefined ? {} : { retentionMs: retentionOf(retention) }),
        };
        if (Object.keys(given).length > 0) await change(client.audit, given);
        const { reads: names, retentionMs, former } = await client.audit.settings();
        const fields = {
          reads: [...names],
          retentionMs,
          ...(former && { former: { retentionMs: former.retentionMs, untilMs: former.untilMs } }),
        };
        outputOf(invocation, command).result(fields, [
          `reads recorded of: ${names.join(' ') || 'nothing'}`,
          `records kept: ${keptText(retentionMs)}`,
          ...(former
            ? [`until ${timeText(former.untilMs)}, since it was shortened: ${keptText(former.retentionMs)}`]
            : []),
        ]);
      });
    });
}

/** Beside what is given they are left as they are, whoever changes them at the same time. */
async function change(audit: AuditClient, given: Partial<AuditSettings>): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    const { reads, retentionMs } = await audit.settings();
    const expected = { reads, retentionMs };
    try {
      await audit.setSettings({ ...expected, ...given }, { expected });
      return;
    } catch (thrown) {
      if (attempt === LIMITS.auditSettingsAttempts || !isChangedMeanwhile(thrown)) throw thrown;
    }
  }
}

const keptText = (retentionMs: number): string =>
  retentionMs === 0 ? FOR_EVER : `${retentionMs / DAY_MS} days`;

const isChangedMeanwhile = (thrown: unknown): boolean =>
  thrown instanceof HoldfastError && thrown.code === 'INVALID_ARGUMENT' && thrown.field === 'expected';

const retentionOf = (text: string): number => (text === FOR_EVER ? 0 : parseDuration(text, '--retention'));
