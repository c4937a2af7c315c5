import { HoldfastError } from '../base/errors.ts';

/** The version of the messages that a joiner and a cluster exchange. */
export const JOIN_FORMAT = 2;

/** @returns VERSION_UNSUPPORTED with both versions */
export function joinFormatUnsupported({ cluster, node }: { cluster: number; node: number }): HoldfastError {
  return new HoldfastError(
    'VERSION_UNSUPPORTED',
    `the cluster speaks join format ${cluster}, the node ${node}`,
    {
      field: 'format',
      hint: 'Run the same release of holdfast on both.',
    },
  );
}
