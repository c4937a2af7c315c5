import type { HoldfastError } from '../base/errors.ts';
import { toHoldfastError } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import { type Damage, markState } from '../store/stateMark.ts';

export interface StopForState {
  /** The data directory. */
  readonly root: string;
  readonly logger: Logger;
  readonly onFatal: (error: HoldfastError) => void;
}

/**
 * Stops the node because of its state. When that is damaged, the next start is told not to use it: what could not be
 * read now might open then, and nobody would know why. A disk that fails says nothing about what lies on it.
 */
export function stopForState(
  error: HoldfastError,
  { root, logger, onFatal }: StopForState,
  kind: Damage['kind'] = 'damaged',
): void {
  if (error.code === 'STATE_CORRUPT') {
    try {
      markState(root, { kind, reason: error.message });
    } catch (thrown) {
      logger.error({ error: toHoldfastError(thrown).message }, 'the damaged state could not be marked');
    }
  }
  onFatal(error);
}
