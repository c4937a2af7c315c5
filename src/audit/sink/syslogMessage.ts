/** An audit record as a message of syslog. */

import { DENIALS } from '../record/actions.ts';
import type { ChainedRecord } from '../record/chain.ts';

/** "log audit" of RFC 5424. */
const FACILITY = 13;
const SEVERITY = { warning: 4, notice: 5, informational: 6 } as const;
const APPLICATION = 'holdfast';
/** RFC 5424: at most so many characters, of those that are printed. */
const HOST_CHARACTERS_MAX = 255;
const MESSAGE_ID_CHARACTERS_MAX = 32;

/**
 * RFC 5424, framed by octet counting (RFC 6587): the record's line of an export is the message, its action the message id.
 * @param host the node's name
 */
export function syslogFrame(
  record: ChainedRecord,
  { line, host }: { readonly line: string; readonly host: string },
): Buffer {
  const priority = FACILITY * 8 + severityOf(record);
  const head = [
    `<${priority}>1`,
    new Date(record.timeMs).toISOString(),
    headerText(host, HOST_CHARACTERS_MAX),
    APPLICATION,
    '-',
    headerText(record.action, MESSAGE_ID_CHARACTERS_MAX),
    '-',
  ].join(' ');
  const message = Buffer.from(`${head} ${line}`, 'utf8');
  return Buffer.concat([Buffer.from(`${message.length} `, 'latin1'), message]);
}

function severityOf({ result }: ChainedRecord): number {
  if (result === 'OK') return SEVERITY.informational;
  return DENIALS.has(result) ? SEVERITY.warning : SEVERITY.notice;
}

/** `-` where there is nothing. */
function headerText(text: string, charactersMax: number): string {
  return text.replaceAll(/[^!-~]/g, '?').slice(0, charactersMax) || '-';
}
