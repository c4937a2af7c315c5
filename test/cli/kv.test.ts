import { writeFileSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/base/limits.ts';
import { CliRig, type Ended } from './rig.ts';

let rig: CliRig;
beforeAll(async () => {
  rig = await CliRig.create();
});
beforeEach(() => {
  const { state } = rig.node;
  state.items.clear();
  state.history.length = 0;
  state.revision = 0;
  state.compactedRevision = 0;
});
afterAll(() => rig.close());

const json = ({ stdout }: Ended): unknown => JSON.parse(stdout.toString());
const errorOf = ({ stderr }: Ended): { code: string; message: string; hint: string; field: string } =>
  (JSON.parse(stderr) as { error: { code: string; message: string; hint: string; field: string } }).error;

describe('kv put and get', () => {
  it('stores from the argument, a file and standard input, byte for byte', async () => {
    const binary = Buffer.from([0, 255, 10, 128]);
    writeFileSync(rig.path('value'), binary);
    expect((await rig.cli(['kv', 'put', 'a', 'text'])).stdout.toString()).toBe('a stored at revision 1\n');
    await rig.cli(['kv', 'put', 'b', '--file', rig.path('value')]);
    await rig.cli(['kv', 'put', 'c', '-'], { stdin: binary });
    expect((await rig.cli(['kv', 'get', 'a'])).stdout.toString()).toBe('text');
    expect((await rig.cli(['kv', 'get', 'b'])).stdout).toEqual(binary);
    expect((await rig.cli(['kv', 'get', 'c'])).stdout).toEqual(binary);
    const shown = await rig.cli(['kv', 'get', 'c', '--output', 'json']);
    expect(json(shown)).toEqual({
      revision: 3,
      item: { key: 'c', valueBase64: 'AP8KgA==', createRevision: 3, modRevision: 3, version: 1 },
    });
  });

  it('ends the line on a terminal only', async () => {
    await rig.store({ a: 'text', b: 'line\n' });
    expect((await rig.cli(['kv', 'get', 'a'], { terminal: true })).stdout.toString()).toBe('text\n');
    expect((await rig.cli(['kv', 'get', 'b'], { terminal: true })).stdout.toString()).toBe('line\n');
  });

  it('shows what was there before, and reads as of a revision', async () => {
    await rig.cli(['kv', 'put', 'a', 'one']);
    const second = await rig.cli(['kv', 'put', 'a', 'two', '--previous', '--output', 'json']);
    expect(json(second)).toMatchObject({ revision: 2, previous: { value: 'one', version: 1 } });
    const first = await rig.cli(['kv', 'put', 'n', 'x', '--previous', '--output', 'json']);
    expect(json(first)).toEqual({ revision: 3, previous: null });
    expect((await rig.cli(['kv', 'get', 'a', '--rev', '1'])).stdout.toString()).toBe('one');
  });

  it('takes keys that are no text', async () => {
    await rig.cli(['kv', 'put', '--key-base64', '/wA=', 'x']);
    const listed = await rig.cli(['kv', 'list', '--keys-only']);
    expect(listed.stdout.toString()).toBe('base64:/wA=\n');
    expect((await rig.cli(['kv', 'get', '--key-base64', '/wA='])).stdout.toString()).toBe('x');
  });

  it('says NOT_FOUND and exits 1 for a missing key', async () => {
    const missing = await rig.cli(['kv', 'get', 'none', '--output', 'json']);
    expect(missing.status).toBe(1);
    expect(missing.stdout).toHaveLength(0);
    expect(errorOf(missing)).toMatchObject({ code: 'NOT_FOUND', message: 'there is no key none' });
  });
});

describe('kv delete', () => {
  it('takes one key or a prefix', async () => {
    await rig.store({ a: '1', 'p/1': '2', 'p/2': '3' });
    expect(json(await rig.cli(['kv', 'delete', 'a', '--output', 'json']))).toEqual({
      revision: 4,
      deleted: 1,
    });
    const many = await rig.cli(['kv', 'delete', '--prefix', 'p/', '--previous', '--output', 'json']);
    expect(json(many)).toMatchObject({ deleted: 2, previous: [{ key: 'p/1' }, { key: 'p/2' }] });
    expect((await rig.cli(['kv', 'delete', 'a'])).status).toBe(1);
    expect((await rig.cli(['kv', 'delete', '--prefix', 'p/'])).status).toBe(0);
  });
});

describe('kv list', () => {
  it('shows keys, values, counts, and a prefix', async () => {
    await rig.store({ 'p/1': 'one', 'p/2': 'two\nlines', q: '\u001b[31mred' });
    const list = await rig.cli(['kv', 'list']);
    expect(list.stdout.toString()).toContain('two…');
    expect(list.stdout.toString()).not.toContain('\u001b[31m');
    expect(list.stderr).toContain('3 of 3 keys at revision 3');
    expect((await rig.cli(['kv', 'list', 'p/', '--keys-only'])).stdout.toString()).toBe('p/1\np/2\n');
    expect((await rig.cli(['kv', 'list', 'p/', '--count'])).stdout.toString()).toBe('2\n');
    expect(json(await rig.cli(['kv', 'list', '--limit', '1', '--output', 'json']))).toEqual({
      revision: 3,
      count: 3,
      items: [{ key: 'p/1', value: 'one', createRevision: 1, modRevision: 1, version: 1 }],
    });
    expect(json(await rig.cli(['kv', 'list', '--rev', '2', '--count', '--output', 'json']))).toEqual({
      revision: 2,
      count: 2,
    });
    expect(json(await rig.cli(['kv', 'list', 'none', '--output', 'json']))).toMatchObject({ items: [] });
  });

  it('goes over pages, up to the limit', async () => {
    const keys = Array.from({ length: LIMITS.pageKeysMax + 5 }, (_, i) => `k${String(i).padStart(5, '0')}`);
    await rig.store(Object.fromEntries(keys.map((key) => [key, 'x'])));
    const all = await rig.cli(['kv', 'list', '--keys-only']);
    expect(all.stdout.toString()).toBe(`${keys.join('\n')}\n`);
    const some = await rig.cli(['kv', 'list', '--keys-only', '--limit', String(keys.length - 2)]);
    expect(some.stdout.toString().trimEnd().split('\n')).toHaveLength(keys.length - 2);
    const { items } = json(await rig.cli(['kv', 'list', '--output', 'json'])) as { items: unknown[] };
    expect(items).toHaveLength(keys.length);
  });
});

describe('kv history, compact, watch', () => {
  it('shows the versions of a key, newest first', async () => {
    await rig.store({ a: 'one' });
    await rig.store({ a: 'two' });
    await rig.cli(['kv', 'delete', 'a']);
    const history = json(await rig.cli(['kv', 'history', 'a', '--output', 'json'])) as {
      versions: object[];
    };
    expect(history.versions).toMatchObject([
      { deleted: true, key: 'a' },
      { deleted: false, value: 'two', time: '1970-01-01T00:00:00.001Z' },
      { deleted: false, value: 'one' },
    ]);
    expect(history.versions[0]).not.toHaveProperty('value');
    expect((await rig.cli(['kv', 'history', 'a'])).stdout.toString()).toContain('(deleted)');
    expect((await rig.cli(['kv', 'history', 'none'])).status).toBe(1);
  });

  it('compacts', async () => {
    expect(json(await rig.cli(['kv', 'compact', '7', '--output', 'json']))).toEqual({ revision: 7 });
  });

  it('watches from a revision until it is interrupted, and then exits 0', async () => {
    await rig.store({ 'p/1': 'one', q: 'x', 'p/2': 'two' });
    const interruption = new AbortController();
    let seen = '';
    const ended = rig.cli(['kv', 'watch', '--prefix', 'p/', '--rev', '1', '--previous', '--output', 'json'], {
      interrupted: interruption.signal,
      onOutput: (text) => {
        seen += text;
        if (seen.split('\n').length > 2) interruption.abort();
      },
    });
    const { status, stdout } = await ended;
    expect(status).toBe(0);
    const lines = stdout.toString().trimEnd().split('\n');
    expect(lines.map((line) => JSON.parse(line) as object)).toMatchObject([
      { type: 'put', revision: 1, key: 'p/1', value: 'one', previous: null },
      { type: 'put', revision: 3, key: 'p/2', value: 'two' },
    ]);
  });
});

describe('kv txn', () => {
  it('runs the branch that the compares choose', async () => {
    const document = JSON.stringify({
      compares: [{ key: 'a', target: 'version', number: 0 }],
      success: [{ put: { key: 'a', value: 'first' } }],
      failure: [{ get: { key: 'a' } }, { delete: { prefix: 'a', previous: true } }],
    });
    const first = await rig.cli(['kv', 'txn', '--output', 'json'], { stdin: document });
    expect(json(first)).toEqual({ revision: 1, succeeded: true, operations: [{ put: { previous: null } }] });
    writeFileSync(rig.path('txn.json'), document);
    const second = await rig.cli(['kv', 'txn', rig.path('txn.json'), '--output', 'json']);
    expect(json(second)).toMatchObject({
      succeeded: false,
      operations: [
        { range: { items: [{ key: 'a', value: 'first' }], count: 1, more: false } },
        { delete: { deleted: 1, previous: [{ value: 'first' }] } },
      ],
    });
  });
});

describe('bad input', () => {
  const longKey = 'k'.repeat(LIMITS.keyBytesMax + 1);

  it.each<[readonly string[], number, string, string]>([
    [['kv', 'put', 'a'], 2, 'USAGE', 'a value is needed'],
    [['kv', 'put', 'a', 'b', '--file', 'c'], 2, 'USAGE', 'not both'],
    [['kv', 'put', 'a', '--file', '/nonexistent/x'], 1, 'FILE_UNREADABLE', 'it does not exist'],
    [['kv', 'put', 'a', '--file', '/'], 1, 'FILE_UNREADABLE', 'it is a directory'],
    [['kv', 'put', '', 'b'], 2, 'USAGE', 'must not be empty'],
    [
      ['kv', 'put', longKey, 'b'],
      1,
      'TOO_LARGE',
      `${LIMITS.keyBytesMax + 1} bytes; the limit is ${LIMITS.keyBytesMax}`,
    ],
    [['kv', 'get', longKey], 1, 'TOO_LARGE', `the limit is ${LIMITS.keyBytesMax}`],
    [['kv', 'get', 'a', '--rev', '0'], 2, 'USAGE', '--rev must be a revision'],
    [['kv', 'get', '--key-base64', 'a'], 2, 'USAGE', 'not base64'],
    [['kv', 'get'], 2, 'USAGE', "missing required argument 'key'"],
    [['kv', 'get', 'a', 'b'], 2, 'USAGE', 'too many arguments'],
    [['kv', 'get', 'a', '--revision', '1'], 2, 'USAGE', "unknown option '--revision'"],
    [['kv', 'delete'], 2, 'USAGE', 'name a key, or --prefix'],
    [['kv', 'delete', 'a', '--prefix', 'b'], 2, 'USAGE', 'not both'],
    [['kv', 'delete', '--prefix', ''], 2, 'USAGE', 'would delete every key'],
    [['kv', 'list', '--limit', '0'], 2, 'USAGE', '--limit must be a whole number'],
    [['kv', 'list', '--count', '--keys-only'], 2, 'USAGE', '--count goes with neither'],
    [['kv', 'watch', 'a', '--prefix', 'b'], 2, 'USAGE', 'not both'],
    [['kv', 'compact', 'soon'], 2, 'USAGE', 'must be a revision'],
    [['kv', 'ptu'], 2, 'USAGE', "unknown command 'ptu'"],
    [['kv'], 2, 'USAGE', 'a command is missing'],
    [['kv', 'get', 'a', '--timeout', 'soon'], 2, 'USAGE', '"soon" is not a duration'],
    [['kv', 'get', 'a', '--context', 'other'], 2, 'CONFIG_INVALID', 'no context other'],
  ])('%j: exit %i, %s', async (words, status, code, message) => {
    const calls = rig.node.calls;
    const ended = await rig.cli([...words, '--output', 'json']);
    expect(ended.status).toBe(status);
    expect(ended.stdout).toHaveLength(0);
    expect(errorOf(ended).code).toBe(code);
    expect(errorOf(ended).message).toContain(message);
    expect(rig.node.calls).toBe(calls);
  });

  it('takes a key and a value of exactly the limit, and refuses one byte more', async () => {
    const key = 'k'.repeat(LIMITS.keyBytesMax);
    const value = Buffer.alloc(LIMITS.valueBytesMax, 7);
    expect((await rig.cli(['kv', 'put', key, '-'], { stdin: value })).status).toBe(0);
    const more = Buffer.alloc(LIMITS.valueBytesMax + 1, 7);
    writeFileSync(rig.path('large'), more);
    for (const source of [['-'], ['--file', rig.path('large')]]) {
      const ended = await rig.cli(['kv', 'put', key, ...source, '--output', 'json'], { stdin: more });
      expect(ended.status).toBe(1);
      expect(errorOf(ended)).toMatchObject({ code: 'TOO_LARGE', field: 'value' });
      expect(errorOf(ended).message).toContain(String(LIMITS.valueBytesMax));
    }
  });

  it('names the nearest command to people', async () => {
    const { status, stderr } = await rig.cli(['statsu']);
    expect(status).toBe(2);
    expect(stderr).toContain('Did you mean status?');
  });

  it('says that a write may have happened when Ctrl-C comes before its answer', async () => {
    const interruption = new AbortController();
    rig.node.fail('transact', { when: 'after', error: 'never answers' });
    const ended = rig.cli(['kv', 'put', 'a', 'x', '--output', 'json'], { interrupted: interruption.signal });
    await expect.poll(() => rig.node.state.applied > 0 && rig.node.state.items.has('a')).toBe(true);
    interruption.abort();
    expect((await ended).status).toBe(1);
    expect(errorOf(await ended).code).toBe('OUTCOME_UNKNOWN');
  });

  it('never shows the value that it refuses', async () => {
    const document = '{"success":[{"put":{"key":"a","value":"hunter2"}}], oops}';
    const ended = await rig.cli(['kv', 'txn'], { stdin: document });
    expect(ended.status).toBe(2);
    expect(ended.stderr).not.toContain('hunter2');
  });
});
