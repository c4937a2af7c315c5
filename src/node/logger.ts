import { destination, pino } from 'pino';
import type { Logger } from '../base/logger.ts';

/** JSON lines on standard error, written at once so that the last words of a stopping node are not lost. */
export function createLogger({ level, node }: { level: string; node: string }): Logger {
  return pino({ level, base: { node } }, destination({ dest: 2, sync: true }));
}
