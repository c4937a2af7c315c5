import { X509Certificate } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/base/limits.ts';
import type { KeptCheckpoint } from '../../src/proto/audit.ts';
import { chainOf, FIRST_MS } from '../api/fakeAudit.ts';
import { type CheckpointSigner, newCheckpointSigner } from '../api/signedCheckpoint.ts';
import { CliRig } from './rig.ts';

let rig: CliRig;
let authority: CheckpointSigner;
beforeAll(async () => {
  authority = await newCheckpointSigner();
  rig = await CliRig.create();
});
afterAll(() => rig.close());

const CHAIN = chainOf(
  {},
  { action: 'kv.delete', resource: Buffer.from('b/'), resourceEnd: Buffer.from('b0'), count: 7 },
  { action: 'kv.reveal', resource: Buffer.from('secrets/x'), principal: 'eve' },
  { action: 'kv.reveal', resource: Buffer.from('secrets/x'), principal: 'eve', result: 'PERMISSION_DENIED' },
  { action: 'kv.reveal', resource: Buffer.from('secrets/x'), principal: 'eve' },
);
beforeEach(() => {
  rig.node.audit.chain = CHAIN;
});

async function audit(...words: string[]) {
  const { status, stdout, stderr } = await rig.cli(['audit', ...words]);
  return { status, out: stdout.toString(), stderr };
}
const sequences = (text: string) =>
  text
    .trim()
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => (JSON.parse(line) as { sequence: number }).sequence);

describe('list', () => {
  it('shows one line for each record, page by page', async () => {
    const { status, out } = await audit('list');
    expect(status).toBe(0);
    expect(out.trim().split('\n')).toHaveLength(5);
    expect(out).toContain('user ada  kv.delete  b/..b0 x7  OK  10.0.0.1:9');
  });

  it.each<[string[], number[]]>([
    [[], [1, 2, 3, 4, 5]],
    [
      ['--limit', '3'],
      [1, 2, 3],
    ],
    [
      ['--user', 'eve', '--result', 'ok'],
      [3, 5],
    ],
    [['--result', 'denied'], [4]],
    [['--resource', 'b/**'], [2]],
    [['--action', 'kv.put'], [1]],
    [['--since', '1h'], []],
    [['--until', new Date(FIRST_MS).toISOString()], []],
    [
      ['--since', new Date(FIRST_MS).toISOString()],
      [1, 2, 3, 4, 5],
    ],
  ])('%j gives %j', async (words, expected) => {
    const { out } = await audit('list', ...words, '--output', 'json');
    expect(sequences(out)).toEqual(expected);
  });

  it.each([
    ['--since', 'yesterday'],
    ['--until', '31.1.2026'],
    ['--action', 'kv.write'],
    ['--limit', '0'],
  ])('%s %s is wrong usage', async (option, text) => {
    expect((await audit('list', option, text)).status).toBe(2);
  });

  it('says what the cluster says of a pattern that is none', async () => {
    const { status, stderr } = await audit('list', '--resource', 'a**');
    expect([status, stderr]).toEqual([1, expect.stringContaining('INVALID_ARGUMENT')]);
  });
});

it('secret says who saw one name, and how often', async () => {
  const { out } = await audit('secret', '--name', 'secrets/x', '--output', 'json');
  const at = new Date(FIRST_MS).toISOString();
  const eve = { kind: 'user', principal: 'eve', action: 'kv.reveal', first: at, last: at };
  expect(JSON.parse(out)).toEqual({
    name: 'secrets/x',
    seen: [
      { ...eve, result: 'OK', count: 2 },
      { ...eve, result: 'PERMISSION_DENIED', count: 1 },
    ],
  });
});

const fileOf = (text: string): string => {
  const path = rig.path('audit.jsonl');
  writeFileSync(path, text);
  return path;
};

describe('export and verify', () => {
  it('agree, and say what head to note', async () => {
    const { out } = await audit('export');
    const head = `5:${CHAIN.at(-1)?.hash.toString('hex')}`;
    const verified = await audit('verify', fileOf(out), '--head', head);
    expect([verified.status, verified.out]).toEqual([
      0,
      `5 records are as they were written, 1 to 5\nhead ${head}\n`,
    ]);
    expect((await audit('verify', fileOf(out), '--head', `6:${'a'.repeat(64)}`)).status).toBe(1);
  });

  it('verify says of what was left out on purpose that it cannot judge gaps', async () => {
    const { out } = await audit('export', '--user', 'eve');
    const verified = await audit('verify', fileOf(out));
    expect(verified.out).toContain('whether others are missing cannot be said');
  });

  it('verify refuses what was changed, a folder, and a file that is not there', async () => {
    const { out } = await audit('export');
    expect((await audit('verify', fileOf(out.replace('eve', 'bob')))).stderr).toContain('(AUDIT_TAMPERED)');
    expect((await audit('verify', rig.path('.'))).stderr).toContain('(FILE_UNREADABLE)');
    expect((await audit('verify', rig.path('nothing'))).stderr).toContain('(FILE_UNREADABLE)');
    expect((await audit('verify', '--head', 'x')).status).toBe(2);
  });

  it('export is CSV when asked, and has a first and a last line when there is nothing', async () => {
    expect((await audit('export', '--format', 'csv')).out.trim().split('\n')).toHaveLength(6);
    rig.node.audit.chain = [];
    const { out } = await audit('export');
    expect((await audit('verify', fileOf(out))).out).toBe('no records\n');
  });
});

describe('verify of the cluster', () => {
  it('goes over the chain and asks every member', async () => {
    const status = { leader: true, voter: true };
    const member = {
      nodeId: 'a1',
      name: 'n1',
      peerAddress: '',
      apiAddress: rig.endpoint,
      role: 'voter',
      ...status,
    };
    const away = { ...member, nodeId: 'a2', name: 'n2', apiAddress: '127.0.0.1:1' };
    rig.node.members = [member] as unknown as typeof rig.node.members;
    const whole = await audit('verify');
    expect([whole.status, whole.out]).toEqual([0, expect.stringContaining('5 records follow one another')]);
    expect(whole.out).toContain('n1: the same head');
    rig.node.members = [member, away] as unknown as typeof rig.node.members;
    const partly = await audit('verify', '--timeout', '300ms');
    expect([partly.status, partly.out]).toEqual([1, expect.stringContaining('n1: the same head')]);
    expect(partly.out).toContain('n2: ');
    rig.node.members = [];
  });

  it.each([
    ['a record that is missing', () => CHAIN.toSpliced(2, 1)],
    ['a record that was changed', () => CHAIN.with(1, { ...CHAIN[1], count: 8 } as (typeof CHAIN)[number])],
  ])('finds %s', async (_what, chain) => {
    rig.node.audit.chain = chain();
    const { status, stderr } = await audit('verify');
    expect([status, stderr]).toEqual([1, expect.stringContaining('(AUDIT_TAMPERED)')]);
  });

  it('finds that the end is cut off, by a head that was noted', async () => {
    const head = `5:${CHAIN.at(-1)?.hash.toString('hex')}`;
    expect((await audit('verify', '--head', head)).status).toBe(0);
    rig.node.audit.chain = CHAIN.slice(0, 3);
    expect((await audit('verify', '--head', head)).stderr).toContain('before the noted record 5');
  });
});

describe('of a cluster that no longer keeps its first records', () => {
  const headOf = (sequence: number) => `${sequence}:${CHAIN[sequence - 1]?.hash.toString('hex')}`;
  let checkpoint: KeptCheckpoint;
  beforeEach(() => {
    rig.node.audit.chain = CHAIN.slice(2);
    checkpoint = authority.sign(CHAIN[1] as (typeof CHAIN)[number]);
    rig.node.audit.checkpoint = checkpoint;
  });
  afterEach(() => {
    rig.node.audit.checkpoint = null;
  });

  it.each([2, 3, 5])('finds the noted record %i', async (sequence) => {
    expect((await audit('verify', '--head', headOf(sequence))).status).toBe(0);
  });

  it('finds that the checkpoint is not the record that was noted', async () => {
    const { status, stderr } = await audit('verify', '--head', `2:${'a'.repeat(64)}`);
    expect([status, stderr]).toEqual([1, expect.stringContaining('record 2 is not the one that was noted')]);
  });

  it('says that a noted record before the checkpoint is no longer kept', async () => {
    const { status, stderr } = await audit('verify', '--head', headOf(1));
    expect([status, stderr]).toEqual([1, expect.stringContaining('(COMPACTED)')]);
    expect(stderr).toContain('the noted record 1 is no longer kept');
  });

  it('verify says which CA has signed the checkpoint, and takes no other', async () => {
    const { status, out } = await audit('verify');
    expect([status, out]).toEqual([0, expect.stringContaining(`the CA ${authority.fingerprint} has signed`)]);
    expect(out).toContain('which this context does not know');
    expect((await audit('verify', '--ca-fingerprint', authority.fingerprint)).status).toBe(0);
    const other = await audit('verify', '--ca-fingerprint', `sha256:${'a'.repeat(64)}`);
    expect([other.status, other.stderr]).toEqual([1, expect.stringContaining('(CERTIFICATE_INVALID)')]);
    rig.node.audit.checkpoint = { ...checkpoint, timeMs: checkpoint.timeMs + 1 };
    expect((await audit('verify')).stderr).toContain('has not signed the checkpoint at record 2');
  });

  it('verify knows the CAs of its context', async () => {
    const certificate = new X509Certificate(authority.certificate).toString();
    const path = rig.path('ca.pem');
    writeFileSync(path, `${rig.context.ca}\n${certificate}`);
    const environment = { ...rig.environment, HOLDFAST_CA: path };
    const { status, stdout } = await rig.cli(['audit', 'verify'], { environment });
    expect([status, stdout.toString()]).toEqual([0, expect.stringContaining('has signed\n')]);
  });

  it('an export carries the checkpoint, and verifies by it', async () => {
    const { out } = await audit('export');
    const { status, out: said } = await audit('verify', fileOf(out));
    expect([status, said]).toEqual([
      0,
      expect.stringContaining(`the CA ${authority.fingerprint} has signed`),
    ]);
    expect((await audit('verify', fileOf(out), '--ca-fingerprint', authority.fingerprint)).status).toBe(0);
    const other = await audit('verify', fileOf(out), '--ca-fingerprint', `sha256:${'a'.repeat(64)}`);
    expect([other.status, other.stderr]).toEqual([1, expect.stringContaining('(CERTIFICATE_INVALID)')]);
    const csv = await audit('export', '--format', 'csv');
    expect(csv.out.split('\n')[0]).toBe(
      ['# checkpoint', 2, new Date(FIRST_MS).toISOString(), CHAIN[1]?.hash.toString('hex')]
        .concat(
          Buffer.from(checkpoint.signature).toString('base64'),
          authority.certificate.toString('base64'),
        )
        .join(','),
    );
  });

  it('an export that --since cut off says so, and that it does not reach back', async () => {
    rig.node.audit.chain = CHAIN.slice(2).map((record) => ({
      ...record,
      timeMs: FIRST_MS + record.sequence,
    }));
    const { out } = await audit('export', '--since', new Date(FIRST_MS + 4).toISOString());
    expect(JSON.parse(out.split('\n')[0] ?? '')).toMatchObject({ firstSequence: 4, continues: true });
    rig.node.audit.chain = CHAIN;
    rig.node.audit.checkpoint = null;
    const whole = (await audit('export')).out.trim().split('\n');
    const head = { ...(JSON.parse(out.split('\n')[0] ?? '') as object), firstSequence: 4 };
    const since = [
      JSON.stringify(head),
      ...whole.slice(4, 6),
      (whole.at(-1) ?? '').replace('"records":5', '"records":2'),
    ];
    const { status, out: said } = await audit('verify', fileOf(since.join('\n')));
    expect([status, said]).toEqual([
      0,
      expect.stringContaining('it does not reach back to the first record'),
    ]);
  });

  it('an export is refused that begins behind another checkpoint than the one that there was', async () => {
    rig.node.audit.chain = CHAIN.slice(3);
    for (const format of ['jsonl', 'csv']) {
      const { status, stderr } = await audit('export', '--format', format);
      expect([status, stderr]).toEqual([1, expect.stringContaining('(COMPACTED)')]);
      expect(stderr).toContain('export again');
    }
  });
});

describe('when records go between two pages', () => {
  let pages: number;
  beforeEach(() => {
    pages = 0;
  });
  afterEach(() => {
    rig.node.audit.beforeList = () => undefined;
    rig.node.audit.checkpoint = null;
  });
  const prune = (count: number) => {
    rig.node.audit.chain = CHAIN.slice(count);
    rig.node.audit.checkpoint = authority.sign(CHAIN[count - 1] as (typeof CHAIN)[number]);
  };

  it.each([1, 2])('verify begins anew when they go before page %i', async (page) => {
    rig.node.audit.beforeList = () => {
      pages += 1;
      if (pages === page) prune(3);
    };
    const { status, out } = await audit('verify');
    expect([status, out]).toEqual([0, expect.stringContaining('2 records follow one another')]);
  });

  it('verify gives up when they always go', async () => {
    rig.node.audit.beforeList = ({ fromSequence }) => {
      if (fromSequence > 0) return prune(fromSequence);
      pages += 1;
      rig.node.audit.chain = CHAIN;
      rig.node.audit.checkpoint = null;
    };
    const { status, stderr } = await audit('verify');
    expect([status, stderr]).toEqual([1, expect.stringContaining('(COMPACTED)')]);
    expect(pages).toBe(LIMITS.auditWalkAttempts);
  });

  it('an export fails, and says to export again', async () => {
    rig.node.audit.beforeList = ({ fromSequence }) => {
      if (fromSequence > 0) prune(fromSequence);
    };
    const { status, stderr } = await audit('export');
    expect([status, stderr]).toEqual([1, expect.stringContaining('(COMPACTED)')]);
    expect(stderr).toContain('export again');
  });

  it('tail --since begins with the oldest that is kept', async () => {
    prune(3);
    const interruption = new AbortController();
    const { status, stdout } = await rig.cli(['audit', 'tail', '--since', '2020-01-01', '--output', 'json'], {
      interrupted: interruption.signal,
      onOutput: () => interruption.abort(),
    });
    expect([status, sequences(stdout.toString())]).toEqual([expect.any(Number), [4, 5]]);
  });
});

it('settings are shown, and changed one by one', async () => {
  expect((await audit('settings')).out).toBe('reads recorded of: secrets/**\nrecords kept: forever\n');
  expect((await audit('settings', '--retention', '90d')).out).toContain('records kept: 90 days');
  expect((await audit('settings', '--reads', 'a/**', 'b')).out).toContain('reads recorded of: a/** b');
  expect(rig.node.audit.kept).toEqual({ reads: ['a/**', 'b'], retentionMs: 90 * 86_400_000 });
  expect((await audit('settings', '--retention', 'forever')).out).toContain('forever');
  expect((await audit('settings', '--retention', 'never')).status).toBe(2);
  rig.node.audit.former = { retentionMs: 0, untilMs: Date.UTC(2030, 0, 2) };
  expect((await audit('settings', '--retention', '30d')).out).toBe(
    'reads recorded of: a/** b\nrecords kept: 30 days\nuntil 2030-01-02T00:00:00.000Z, since it was shortened: forever\n',
  );
});

describe('settings that somebody else changes meanwhile', () => {
  let asked: number;
  let others: number;
  beforeEach(() => {
    asked = 0;
    rig.node.audit.kept = { reads: ['secrets/**'], retentionMs: 0 };
    rig.node.audit.beforeSettings = () => {
      asked += 1;
      if (asked <= others)
        rig.node.audit.kept = { ...rig.node.audit.kept, reads: ['secrets/**', `of-others/${asked}`] };
    };
  });
  afterEach(() => {
    rig.node.audit.beforeSettings = () => undefined;
  });

  it('are kept: what was given is set beside them', async () => {
    others = 1;
    const { status, out } = await audit('settings', '--retention', '90d');
    expect([status, out]).toEqual([0, expect.stringContaining('reads recorded of: secrets/** of-others/1')]);
    expect(rig.node.audit.kept).toEqual({
      reads: ['secrets/**', 'of-others/1'],
      retentionMs: 90 * 86_400_000,
    });
  });

  it('again and again are left as they are, and that is said', async () => {
    others = 100;
    const { status, stderr } = await audit('settings', '--retention', '90d');
    expect([status, stderr]).toEqual([1, expect.stringContaining('(INVALID_ARGUMENT)')]);
    expect([asked, rig.node.audit.kept.retentionMs]).toEqual([LIMITS.auditSettingsAttempts, 0]);
  });
});
