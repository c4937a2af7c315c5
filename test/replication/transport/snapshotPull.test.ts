import {
  Client,
  credentials,
  Server,
  ServerCredentials,
  type ServerWritableStream,
  type ServiceDefinition,
} from '@grpc/grpc-js';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { peerService, type SnapshotChunk } from '../../../src/proto/peer.ts';
import type { SnapshotMetadata } from '../../../src/replication/raft/types.ts';
import type { StateSnapshot } from '../../../src/replication/replicatedLog.ts';
import { pullSnapshot } from '../../../src/replication/transport/snapshotPull.ts';
import { TestAuthority, testNodeId } from './certificates.ts';
import { RecordingReceiver, STORE, TestDirectory } from './testPeers.ts';
import { waitFor } from './waitFor.ts';

const A = testNodeId(0xa);
const B = testNodeId(0xb);
const C = testNodeId(0xc);

let authority: TestAuthority;
let directory: TestDirectory;

const metadata: SnapshotMetadata = {
  index: 40,
  term: 3,
  hash: Buffer.alloc(32, 9),
  configuration: { voters: [A, B], votersOutgoing: [], learners: [C], learnersNext: [], autoLeave: false },
};

interface Source extends StateSnapshot {
  readonly closed: () => boolean;
  readonly produced: () => number;
}

function source(options: {
  rows: number;
  rowBytes: number;
  failAt?: number;
  metadata?: SnapshotMetadata;
}): Source {
  let closed = false;
  let produced = 0;
  async function* rows() {
    for (let i = 0; i < options.rows; i += 1) {
      if (i === options.failAt) throw new Error('the state cannot be read');
      await Promise.resolve();
      produced += 1;
      yield [{ key: Buffer.from(`k${1_000_000 + i}`), envelope: Buffer.alloc(options.rowBytes, i) }];
    }
  }
  return {
    metadata: options.metadata ?? metadata,
    keyring: Buffer.from('keyring'),
    rows,
    close: () => {
      closed = true;
      return Promise.resolve();
    },
    closed: () => closed,
    produced: () => produced,
  };
}

beforeAll(async () => {
  authority = await TestAuthority.create();
});

beforeEach(() => {
  directory = new TestDirectory(authority);
});

afterEach(async () => {
  await directory.close();
});

async function serve(snapshot: Source, store = STORE, options: { snapshotDeadlineMs?: number } = {}) {
  const receiver = new RecordingReceiver();
  receiver.snapshot = () => Promise.resolve(snapshot);
  const a = await directory.listen(A, { store, ...options });
  a.start(receiver);
  return await directory.listen(B);
}

async function countRows(snapshot: StateSnapshot): Promise<number> {
  let count = 0;
  for await (const rows of snapshot.rows()) count += rows.length;
  return count;
}

describe('pullSnapshot', () => {
  test('brings metadata, keyring and every row', async () => {
    const served = source({ rows: 500, rowBytes: 10_000 });
    const b = await serve(served);
    const pulled = await b.pullSnapshot({ from: A, index: 40 });
    expect(pulled.metadata).toEqual(metadata);
    expect(Buffer.from(pulled.keyring).toString()).toBe('keyring');
    expect(await countRows(pulled)).toBe(500);
    await pulled.close();
    await waitFor(served.closed);
  });

  test('is sent no faster than it is read, and ends when the reader goes', async () => {
    const served = source({ rows: 400, rowBytes: 900_000 });
    const b = await serve(served);
    const pulled = await b.pullSnapshot({ from: A, index: 1 });
    const rows = pulled.rows()[Symbol.asyncIterator]();
    await rows.next();
    let before = -1;
    await waitFor(() => {
      const still = served.produced() === before;
      before = served.produced();
      return still && before > 1;
    });
    expect(served.produced()).toBeLessThan(80);
    await pulled.close();
    await waitFor(served.closed);
  });

  test('a state of before we were a member is not taken (I20): there will be a newer one', async () => {
    const configuration = { ...metadata.configuration, voters: [A] };
    const b = await serve(source({ rows: 1, rowBytes: 1, metadata: { ...metadata, configuration } }));
    await expect(b.pullSnapshot({ from: A, index: 1 })).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });

  test('an older state than asked for is not taken', async () => {
    const b = await serve(source({ rows: 1, rowBytes: 1 }));
    await expect(b.pullSnapshot({ from: A, index: 41 })).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });

  test.each([
    ['another cluster', { ...STORE, clusterId: 'cccccccccccccccc' }, 'CLUSTER_MISMATCH'],
    ['another store', { ...STORE, storeId: 'cccccccccccccccc' }, 'CLUSTER_MISMATCH'],
    ['another format', { ...STORE, format: 2 }, 'VERSION_UNSUPPORTED'],
  ])('%s is refused', async (_what, store, code) => {
    const b = await serve(source({ rows: 1, rowBytes: 1 }), store);
    await expect(b.pullSnapshot({ from: A, index: 1 })).rejects.toMatchObject({ code });
  });

  test.each([
    ['a short hash', { hash: Buffer.alloc(31) }],
    ['no voters', { configuration: { ...metadata.configuration, voters: [] } }],
    ['term 0', { term: 0 }],
  ])('%s is refused', async (_what, change) => {
    const b = await serve(source({ rows: 1, rowBytes: 1, metadata: { ...metadata, ...change } }));
    await expect(b.pullSnapshot({ from: A, index: 1 })).rejects.toMatchObject({ code: 'STATE_CORRUPT' });
  });

  test('a snapshot that breaks off does not look whole', async () => {
    const b = await serve(source({ rows: 100, rowBytes: 100, failAt: 50 }));
    const pulled = await b.pullSnapshot({ from: A, index: 1 });
    await expect(countRows(pulled)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await pulled.close();
  });

  test('a node that is not a member gets none', async () => {
    const b = await serve(source({ rows: 1, rowBytes: 1 }));
    directory.removed.add(B);
    await expect(b.pullSnapshot({ from: A, index: 1 })).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });
});

describe('a snapshot under way', () => {
  test('ends for a node that is removed meanwhile', async () => {
    const served = source({ rows: 400, rowBytes: 900_000 });
    const b = await serve(served);
    const pulled = await b.pullSnapshot({ from: A, index: 1 });
    const rows = pulled.rows()[Symbol.asyncIterator]();
    await rows.next();
    directory.removed.add(B);
    await expect(countRows({ ...pulled, rows: () => rest(rows) })).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.stringContaining('not a member'),
    });
    expect(served.produced()).toBeLessThan(80);
    await waitFor(served.closed);
    await pulled.close();
  });

  test('ends for a node that does not read it in time', async () => {
    const served = source({ rows: 400, rowBytes: 900_000 });
    const b = await serve(served, STORE, { snapshotDeadlineMs: 300 });
    const pulled = await b.pullSnapshot({ from: A, index: 1 });
    const rows = pulled.rows()[Symbol.asyncIterator]();
    await rows.next();
    await waitFor(served.closed);
    expect(served.produced()).toBeLessThan(80);
    await expect(countRows({ ...pulled, rows: () => rest(rows) })).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.stringContaining('in time'),
    });
    await pulled.close();
  });
});

async function* rest<T>(iterator: AsyncIterator<T>): AsyncGenerator<T> {
  for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) yield next.value;
}

describe('chunks that do not add up', () => {
  const header = { ...STORE, ...metadata, keyring: Buffer.from('k') };
  const row = { key: Buffer.from('a'), envelope: Buffer.from('b') };
  const later = { key: Buffer.from('b'), envelope: Buffer.from('b') };
  const first = { header, rows: [], rowsTotal: 0, last: false };
  const one = { rows: [row], rowsTotal: 0, last: false };

  /** What reading a stream of exactly these chunks, ended normally, comes to. */
  async function outcome(chunks: readonly SnapshotChunk[], index = 1): Promise<number> {
    const server = new Server();
    const definition = { pullSnapshot: peerService['pullSnapshot'] } as unknown as ServiceDefinition;
    server.addService(definition, {
      pullSnapshot: (call: ServerWritableStream<object, SnapshotChunk>) => {
        for (const chunk of chunks) call.write(chunk);
        call.end();
      },
    });
    const port = await new Promise<number>((resolve, reject) =>
      server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      ),
    );
    try {
      const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
      const { signal } = new AbortController();
      const pulled = await pullSnapshot(
        { client, prove: () => Promise.resolve(), over: signal, close: () => client.close() },
        {
          index,
          nodeId: B,
          store: STORE,
          deadlineMs: 5_000,
          signal,
          bytesMax: 1_000,
        },
      );
      try {
        return await countRows(pulled);
      } finally {
        await pulled.close();
      }
    } finally {
      server.forceShutdown();
    }
  }

  test('whole', async () => {
    expect(await outcome([first, one, { rows: [later], rowsTotal: 2, last: true }])).toBe(2);
  });

  test('older than what was asked for', async () => {
    const chunks = [first, { rows: [row], rowsTotal: 1, last: true }];
    expect(await outcome(chunks, metadata.index)).toBe(1);
    await expect(outcome(chunks, metadata.index + 1)).rejects.toMatchObject({ code: 'STATE_CORRUPT' });
  });

  test.each<[string, SnapshotChunk[]]>([
    ['no last chunk', [first, one]],
    ['fewer rows than counted', [first, one, { rows: [], rowsTotal: 2, last: true }]],
    ['more rows than counted', [first, one, one, { rows: [], rowsTotal: 1, last: true }]],
    ['a chunk again', [first, one, one, { rows: [], rowsTotal: 2, last: true }]],
    ['chunks out of order', [first, { ...one, rows: [later] }, one, { rows: [], rowsTotal: 2, last: true }]],
    [
      'rows that overlap in one chunk',
      [first, { ...one, rows: [row, row] }, { rows: [], rowsTotal: 2, last: true }],
    ],
    [
      'more than may be in all',
      [
        first,
        { ...one, rows: [{ ...row, envelope: Buffer.alloc(600) }] },
        { ...one, rows: [{ ...later, envelope: Buffer.alloc(600) }] },
        { rows: [], rowsTotal: 2, last: true },
      ],
    ],
    ['a second header', [first, first, { rows: [], rowsTotal: 0, last: true }]],
    ['no header', [one, { rows: [], rowsTotal: 1, last: true }]],
    [
      'rows beside the header',
      [
        { ...first, rows: [row] },
        { rows: [], rowsTotal: 1, last: true },
      ],
    ],
    ['nothing at all', []],
  ])('%s', async (_what, chunks) => {
    await expect(outcome(chunks)).rejects.toMatchObject({ code: 'STATE_CORRUPT' });
  });
});
