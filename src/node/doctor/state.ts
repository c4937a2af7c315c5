import { systemErrorCode } from '../../base/errors.ts';
import { StateFolder } from '../../store/stateFolder.ts';
import type { DataDirectory } from '../dataDirectory.ts';
import { divergedStates } from '../divergedStates.ts';
import { type Finding, failure, warning } from './finding.ts';

/** Whether the state was marked as not to be used. Whether it opens only a start can tell. */
export async function checkState({ root }: DataDirectory): Promise<readonly Finding[]> {
  try {
    const damage = await new StateFolder(root).damage();
    const diverged = (await divergedStates(root))().map((message) =>
      warning('state', message, 'see docs/operations.md, States are compared all the time'),
    );
    if (damage === null) return diverged;
    const message = `the state in ${root} is not used any more: ${damage.reason}`;
    const mend =
      'start the node: it takes a whole state from the leader; if it is running, that is going on. Check the disk: dmesg';
    return [warning('state', message, mend), ...diverged];
  } catch (thrown) {
    const code = systemErrorCode(thrown) ?? 'unknown';
    return [failure('state', `the state in ${root} cannot be looked at (${code})`, `ls -la '${root}/state'`)];
  }
}
