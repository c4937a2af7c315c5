import { describe, expect, it } from 'vitest';
import {
  destinationText,
  parseSinkDestination,
  type SinkDestination,
  shownHost,
} from '../../../src/audit/sink/destination.ts';
import { refusalOf } from '../../node/refusal.ts';

describe('a destination of audit records', () => {
  const cases: [string, SinkDestination, string][] = [
    ['file:/var/log/a.jsonl', { kind: 'file', path: '/var/log/a.jsonl' }, ''],
    ['file:///var//log/./a', { kind: 'file', path: '/var/log/a' }, ''],
    ['https://a.internal/x?token=1', { kind: 'http', url: 'https://a.internal/x?token=1' }, 'a.internal'],
    ['http://[::1]:9200', { kind: 'http', url: 'http://[::1]:9200/' }, '[::1]:9200'],
    ['syslog://a:514', { kind: 'syslog', host: 'a', port: 514, tls: false }, 'a:514'],
    ['syslog+tls://[::1]:6514', { kind: 'syslog', host: '::1', port: 6514, tls: true }, '[::1]:6514'],
  ];
  it.each(cases)('is read: %s', (text, destination, host) => {
    expect(parseSinkDestination(text)).toEqual(destination);
    expect(shownHost(destination)).toBe(host);
    expect(parseSinkDestination(destinationText(destination))).toEqual(destination);
  });

  it('may be none', () => {
    expect(parseSinkDestination('none')).toBeNull();
  });

  it.each([
    '',
    'audit.jsonl',
    'file:audit.jsonl',
    'file:',
    'file:/var/log/',
    'file://host/var/log/a',
    'file:/a\nb',
    'https:/a/b',
    'https://',
    'https://a/#x',
    'ftp://a/b',
    'syslog://a',
    'syslog:a:514',
    'syslog://a:0',
    'syslog://a:514/x',
    'syslog+udp://a:514',
  ])('is refused: %j', async (text) => {
    expect(await refusalOf(() => parseSinkDestination(text))).toMatchObject({ code: 'CONFIG_INVALID' });
  });

  it.each(['https://who:hunter2@a/b', 'https://hunter2@a/', 'syslog://who:hunter2@a:514'])(
    'is refused with credentials, which are not said again: %s',
    async (text) => {
      const { message, hint } = await refusalOf(() => parseSinkDestination(text));
      expect(message).toContain('no password');
      expect(`${message} ${hint}`).not.toContain('hunter2');
    },
  );
});
