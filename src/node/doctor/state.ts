import { systemErrorCode } from '../../base/errors.ts';
import { StateFolder } from '../../store/stateFolder.ts';
import type { DataDirectory } from '../dataDirectory.ts';
import { divergedPaths, divergedWarning } from '../divergedStates.ts';
import { type Finding, failure, warning } from './finding.ts';

/** Whether the state was marked as not to be used. Whether it opens only a start can tell. */
export async function checkState({ root }: DataDirectory): Promise<readonly Finding[]> {
  try {
    const damage = await new StateFolder(root).damage();
    const diverged = (await divergedPaths(root)).map((path) =>
      warning('state', divergedWarning(path), `rm -r '${path}'`),
    );
    if (damage === null) return diverged;
    const message =
      `the state in ${root} is not used any more (${damage.reason}): ` +
      'the node takes a whole one from the leader once it runs';
    return [warning('state', message, 'holdfast server'), ...diverged];
  } catch (thrown) {
    const code = systemErrorCode(thrown) ?? 'unknown';
    const mend = `namei -l '${root}/state/current'`;
    return [failure('state', `the state in ${root} cannot be looked at (${code})`, mend)];
  }
}
