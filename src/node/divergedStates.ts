import { existsSync } from 'node:fs';
import { systemErrorCode } from '../base/errors.ts';
import { StateFolder } from '../store/stateFolder.ts';

/**
 * What status and doctor warn of now: one sentence for each state that was set aside because it differed. While a node
 * runs no such state is added, but an operator may take one away.
 */
export async function divergedStates(root: string): Promise<() => readonly string[]> {
  const paths = await divergedPaths(root);
  return () => paths.filter((path) => existsSync(path)).map(divergedWarning);
}

/** Where they lie. */
export async function divergedPaths(root: string): Promise<readonly string[]> {
  try {
    return await new StateFolder(root).divergedStates();
  } catch (thrown) {
    if (systemErrorCode(thrown) === 'ENOENT') return [];
    throw thrown;
  }
}

export function divergedWarning(path: string): string {
  return `${path} holds a state that differed from what a majority held: look at it, then delete it`;
}
