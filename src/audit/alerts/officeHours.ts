/** Hours in which reads are nothing unusual, in the time zone in which they are kept. */
import { HoldfastError } from '../../base/errors.ts';
import type { AlertRule } from '../../proto/audit.ts';

const DAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'] as const;
const HOUR_MINUTES = 60;

type Hours = Pick<AlertRule, 'fromMinute' | 'toMinute' | 'days' | 'timeZone'>;

/**
 * Whether a time (milliseconds since 1970) is within the hours of one of the days. Hours over midnight belong to the day that it is:
 * 22:00 to 06:00 of Mondays are the first six and the last two hours of each Monday.
 * @throws HoldfastError INVALID_ARGUMENT for a time zone that this machine does not know
 */
export function withinHours({ fromMinute, toMinute, days, timeZone }: Hours): (timeMs: number) => boolean {
  const format = formatOf(timeZone);
  return (timeMs) => {
    const parts = new Map(format.formatToParts(timeMs).map(({ type, value }) => [type, value]));
    const day = DAYS.findIndex((name) => name === parts.get('weekday'));
    const minute = Number(parts.get('hour')) * HOUR_MINUTES + Number(parts.get('minute'));
    const isAfter = minute >= fromMinute;
    const isBefore = minute < toMinute;
    const isWithin = fromMinute < toMinute ? isAfter && isBefore : isAfter || isBefore;
    return isWithin && (days & (1 << day)) !== 0;
  };
}

function formatOf(timeZone: string): Intl.DateTimeFormat {
  const form = { weekday: 'short', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' } as const;
  try {
    return new Intl.DateTimeFormat('en-GB', { ...form, timeZone });
  } catch (cause) {
    throw new HoldfastError('INVALID_ARGUMENT', `this machine knows no time zone ${timeZone}`, {
      field: 'time_zone',
      hint: 'write it as in the time zone database, for example Europe/Berlin',
      cause,
    });
  }
}
