import { describe, expect, it } from 'vitest';
import { AUDIT_ACTIONS } from '../../src/audit/record/actions.ts';
import { parseNodeId } from '../../src/base/ids.ts';
import { systemRandom } from '../../src/base/random.ts';
import {
  ENVELOPE_OVERHEAD_BYTES,
  ENVELOPE_VERSION,
  HEADER_BYTES,
  NONCE_OFFSET,
  PURPOSES,
  writeHeader,
} from '../../src/envelope/format.ts';
import { writePlace } from '../../src/envelope/place.ts';
import { ENTRY_TYPE_CODES } from '../../src/replication/raft/entryHash.ts';
import { FRAME_BYTES } from '../../src/replication/wal/frame.ts';
import { ROW_KEY_BYTES, rowKey, TABLES } from '../../src/store/row.ts';
import { TABLE_SEALING } from '../../src/store/rowCodecs.ts';
import { createJoinToken, hashTokenSecret, parseJoinToken } from '../../src/trust/joinToken.ts';
import { codeSpansOf, documentAt, tableAfter } from './documents.ts';

const FORMATS = documentAt('docs/formats.md');

describe('docs/formats.md', () => {
  it('lists every action of the audit, each once', () => {
    const rows = tableAfter(FORMATS, 'Actions, with what `resource`');
    const listed = rows.flatMap(([actions = '']) => codeSpansOf(actions));
    expect(listed.toSorted()).toEqual([...AUDIT_ACTIONS].toSorted());
  });

  it('has the envelope as it is', () => {
    const rows = tableAfter(FORMATS, '## Envelope');
    const sizes = rows.map(([, bytes]) => Number(bytes));
    expect(rows.map(([offset]) => offset)).toEqual(['0', '3', '4', '5', '13', '37', '37 + n']);
    for (const [position, [offset]] of rows.slice(0, 6).entries())
      expect(Number(offset)).toBe(sizes.slice(0, position).reduce((sum, size) => sum + size, 0));
    const tag = sizes.at(-1) ?? 0;
    expect([HEADER_BYTES, ENVELOPE_OVERHEAD_BYTES, NONCE_OFFSET]).toEqual([37, 37 + tag, 13]);
    const header = Buffer.alloc(HEADER_BYTES);
    writeHeader(header, { suite: 1, keyIdBytes: Buffer.from('0102030405060708', 'hex') });
    expect(header.toString('hex', 0, 13)).toBe(`${Buffer.from('HFE').toString('hex')}01010102030405060708`);
    expect(ENVELOPE_VERSION).toBe(1);
  });

  it('names every purpose', () => {
    const listed = /^Purposes: (.*?)\. \(/ms.exec(FORMATS.text)?.[1] ?? '';
    expect([...listed.matchAll(/`(\w+)`/g)].map(([, purpose]) => purpose)).toEqual([...PURPOSES]);
  });

  it('has the places as they are', () => {
    const nodeId = parseNodeId('00000000000000ab');
    const bytes = Buffer.alloc(64);
    const rows = tableAfter(FORMATS, '**Place**').map((row) => [row[1], row[3]]);
    const places = [
      { kind: 'entry', term: 1, index: 2 },
      { kind: 'row', table: 'k', number: 1, sub: 2 },
      { kind: 'forward', nodeId, sequence: 1 },
    ] as const;
    for (const [position, place] of places.entries()) {
      const length = writePlace(bytes, place, 0);
      expect(rows[position]).toEqual([String(bytes[0]), String(length)]);
    }
    expect(writePlace(bytes, { kind: 'file', name: 'abc', generation: 1 }, 0)).toBe(9 + 3);
    expect(rows[3]).toEqual([String(bytes[0]), '9 and the name']);
  });

  it('has the record of the log as it is', () => {
    const sizes = tableAfter(FORMATS, 'A **record** in it').map(([bytes]) => Number(bytes));
    expect(sizes.slice(0, -1).reduce((sum, size) => sum + size, 0)).toBe(FRAME_BYTES);
    const { normal, configuration, empty } = ENTRY_TYPE_CODES;
    expect(FORMATS.text).toContain(
      `Types: ${normal} normal, ${configuration} configuration, ${empty} empty.`,
    );
  });

  it('has every table of the state, with its purpose', () => {
    const rows = tableAfter(FORMATS, '## The state');
    expect(rows.map(([table]) => table)).toEqual(TABLES.map((table) => `\`${table}\``));
    expect(rows.map((row) => row[3])).toEqual(TABLES.map((table) => `\`${TABLE_SEALING[table].purpose}\``));
    expect(FORMATS.text).toContain(`A row's key is ${ROW_KEY_BYTES} bytes`);
    expect(rowKey({ table: 'k', number: 258, sub: 3 }).toString('hex')).toBe('6b000000000000010200000003');
  });

  it('has the join token as it is', () => {
    const spkiHash = Buffer.alloc(32, 7);
    const { text, id, secretHash } = createJoinToken({
      random: systemRandom,
      spkiHash,
      addresses: ['a.example:7441'],
    });
    const parts = text.split('.');
    const rows = tableAfter(FORMATS, '## Join token');
    expect(parts).toHaveLength(rows.length);
    expect(rows.map(([part]) => part)).toEqual(['version', 'id', 'secret', 'pin', 'addresses', 'checksum']);
    expect(parts[0]).toBe(rows[0]?.[1]?.replaceAll('`', ''));
    expect([parts[1], parts[3]]).toEqual([id, spkiHash.toString('hex')]);
    const secret = Buffer.from(parts[2] ?? '', 'base64url');
    expect(secret).toHaveLength(32);
    expect(hashTokenSecret(secret).equals(secretHash)).toBe(true);
    expect(Buffer.from(parts[4] ?? '', 'base64url').toString()).toBe('a.example:7441');
    expect(parts[5]).toMatch(/^[0-9a-f]{8}$/);
    expect(parseJoinToken(text).addresses).toEqual(['a.example:7441']);
  });
});
