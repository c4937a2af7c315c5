import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AuditSinkCursorFile, type SinkCursor } from '../../src/node/auditSinkCursor.ts';
import { Lines } from './fakeAuditSink.ts';

const DESTINATION = 'https://logs.internal/audit?token=t0p';

let folder: string;
let logger: Lines;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-cursor-'));
  logger = new Lines();
});
afterEach(() => rmSync(folder, { recursive: true }));

describe('the file of the cursor', () => {
  const cursor: SinkCursor = { sequence: 7, hash: Buffer.alloc(32, 1), lost: 2 };
  const fileOf = (destination = DESTINATION): AuditSinkCursorFile =>
    new AuditSinkCursorFile({ path: join(folder, 'audit-sink.json'), destination, logger });

  it('is for one destination, and tells nothing of it', async () => {
    expect(await fileOf().load()).toBeNull();
    await fileOf().save(cursor);
    expect(await fileOf().load()).toEqual(cursor);
    expect(await fileOf('https://logs.internal/audit?token=other').load()).toBeNull();
    const path = join(folder, 'audit-sink.json');
    expect(readFileSync(path, 'utf8')).not.toContain('t0p');
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(logger.warnings).toEqual([]);
  });

  it.each([
    '',
    '[]',
    '{"version":2}',
    'null',
    '{"version":1,"destination":"","sequence":-1,"hash":"","lost":0}',
  ])('that is none is as if it were not there, and that is said: %s', async (content) => {
    writeFileSync(join(folder, 'audit-sink.json'), content);
    expect(await fileOf().load()).toBeNull();
    expect(logger.warnings).toHaveLength(1);
  });
});
