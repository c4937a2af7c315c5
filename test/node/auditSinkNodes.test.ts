import {
  createReadStream,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { linesOf, verifyExport } from '../../src/audit/verifyExport.ts';
import { webhookSignature } from '../../src/audit/webhookSignature.ts';
import type { HoldfastClient } from '../../src/client/index.ts';
import type { HoldfastNode } from '../../src/node/holdfastNode.ts';
import type { AdminContext } from '../../src/node/initCluster.ts';
import { type NodeFolder, NodeFolders } from './nodeFolder.ts';
import { refusalOf } from './refusal.ts';
import { until } from './until.ts';

/* Audit records that leave a real node by themselves. */
const LIMIT_MS = 60_000;

let folders: NodeFolders;
let servers: Server[];
beforeEach(() => {
  folders = new NodeFolders();
  servers = [];
});
afterEach(async () => {
  await folders.close();
  for (const server of servers) server.closeAllConnections();
  for (const server of servers) await new Promise((resolve) => server.close(resolve));
  expect(folders.fatal).toEqual([]);
});

type First = NodeFolder & { readonly admin: AdminContext };

const started = async (first: First): Promise<{ node: HoldfastNode; client: HoldfastClient }> => {
  const node = await folders.start(first);
  return { node, client: await folders.client(first, [node]) };
};

/** Until the sink has all that there is; the number of records. */
async function caughtUp(client: HoldfastClient): Promise<number> {
  let sequence = 0;
  await until(async () => {
    ({ sequence } = await client.audit.head());
    return (await client.cluster.status()).auditSink?.deliveredSequence === sequence;
  }, 'the sink has not caught up');
  return sequence;
}

const sequencesOf = (text: string): readonly number[] =>
  text
    .split('\n')
    .filter((line) => line.startsWith('{"sequence"'))
    .map((line) => (JSON.parse(line) as { sequence: number }).sequence);
const upTo = (last: number): readonly number[] => Array.from({ length: last }, (_, at) => at + 1);

it(
  'a file has every record once, in order, over restarts, also when the cursor is older or gone',
  async () => {
    const path = join(folders.root, 'audit.jsonl');
    const first = await folders.first('n1', { auditSink: `file:${path}` });
    const cursorPath = join(first.configuration.dataDir, 'audit-sink.json');
    let { node, client } = await started(first);
    for (let number = 0; number < 20; number += 1) await client.put(`prod/${number}`, 'the value of it');
    let last = await caughtUp(client);
    expect(last).toBeGreaterThanOrEqual(20);
    expect(sequencesOf(readFileSync(path, 'utf8'))).toEqual(upTo(last));
    const older = readFileSync(cursorPath);
    for (const cursor of ['kept', 'older', 'gone']) {
      await client.put(`prod/${cursor}`, 'the value of it');
      last = await caughtUp(client);
      await client.close();
      await folders.stop(node);
      if (cursor === 'older') writeFileSync(cursorPath, older);
      if (cursor === 'gone') rmSync(cursorPath);
      ({ node, client } = await started(first));
      await client.put('prod/more', 'the value of it');
      expect(await caughtUp(client)).toBeGreaterThan(last);
      last = await caughtUp(client);
      expect(sequencesOf(readFileSync(path, 'utf8'))).toEqual(upTo(last));
    }
    const written = readFileSync(path, 'utf8');
    expect(written).not.toContain('the value of it');
    // As it stands it is an export that is not complete yet.
    const verified = refusalOf(() => verifyExport(linesOf(createReadStream(path)), null));
    expect(await verified).toMatchObject({ message: expect.stringContaining('its last line is missing') });
    expect(await client.cluster.status()).toMatchObject({
      auditSink: { kind: 'file', host: '', behind: 0, lost: 0, failingSinceMs: 0, error: '' },
      warnings: [],
    });
  },
  LIMIT_MS,
);

it(
  'a folder that is missing stops neither start nor writes; it is said, and made up for',
  async () => {
    const path = join(folders.root, 'later', 'audit.jsonl');
    const first = await folders.first('n1', { auditSink: `file:${path}` });
    const { client } = await started(first);
    await client.put('a', 'b');
    await until(async () => {
      const { auditSink, warnings } = await client.cluster.status();
      return auditSink?.errorCode === 'FILE_UNREADABLE' && warnings.some((one) => one.includes('audit sink'));
    }, 'nothing is said');
    expect(existsSync(dirname(path))).toBe(false);
    expect(first.logger.warnings.filter((line) => line.includes('audit sink'))).toHaveLength(1);
    mkdirSync(dirname(path));
    expect(sequencesOf((await caughtUp(client), readFileSync(path, 'utf8'))).length).toBeGreaterThan(0);
  },
  LIMIT_MS,
);

it(
  'an endpoint that refuses, hangs up, sends elsewhere and is away gets every record, in order and signed',
  async () => {
    const bodies: string[] = [];
    const key = 'a secret that signs what is sent';
    const secretPath = join(folders.root, 'signing');
    writeFileSync(secretPath, `${key}\n`, { mode: 0o600 });
    const troubles: ((response: ServerResponse) => void)[] = [
      (response) => void response.writeHead(500).end(),
      (response) => response.socket?.destroy(),
      (response) => void response.writeHead(307, { Location: '/elsewhere' }).end(),
    ];
    const server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const body = Buffer.concat(chunks);
        const said = String(request.headers['holdfast-signature']);
        const timeMs = Number(/^t=([0-9]+),/.exec(said)?.[1]) * 1_000;
        const isSigned = said === webhookSignature({ key: Buffer.from(key), timeMs, body });
        if (!isSigned || request.url !== '/audit') bodies.push('{"sequence":-1}\n');
        const trouble = troubles.shift();
        if (trouble !== undefined) return trouble(response);
        bodies.push(body.toString('utf8'));
        response.writeHead(200).end();
      });
    });
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const auditSink = `http://127.0.0.1:${port}/audit`;
    const first = await folders.first('n1', { auditSink, auditSinkSecretPath: secretPath });
    const { client } = await started(first);
    for (let number = 0; number < 5; number += 1) await client.put(`a/${number}`, 'b');
    const last = await caughtUp(client);
    expect(troubles).toEqual([]);
    expect(sequencesOf(bodies.join(''))).toEqual(upTo(last));
    expect((await client.cluster.status()).auditSink).toMatchObject({
      kind: 'http',
      host: `127.0.0.1:${port}`,
    });
  },
  LIMIT_MS,
);

it(
  'a key that others can read, or that is too short, is refused at the start',
  async () => {
    const secretPath = join(folders.root, 'signing');
    const flags = { auditSink: 'https://127.0.0.1:1/audit', auditSinkSecretPath: secretPath };
    const first = await folders.first('n1', flags);
    writeFileSync(secretPath, 'a secret that signs what is sent', { mode: 0o644 });
    expect(await refusalOf(() => folders.start(first))).toMatchObject({ code: 'KEY_FILE_INVALID' });
    rmSync(secretPath);
    writeFileSync(secretPath, '  too short \n', { mode: 0o600 });
    const refusal = await refusalOf(() => folders.start(first));
    expect(refusal).toMatchObject({ code: 'KEY_FILE_INVALID', field: 'audit-sink-secret-path' });
    expect(refusal.message).not.toContain('too short');
  },
  LIMIT_MS,
);

it(
  'a file in the data directory is refused at the start, also behind a symbolic link',
  async () => {
    const link = join(folders.root, 'logs');
    const path = join(link, 'audit', 'audit.jsonl');
    const first = await folders.first('n1', { auditSink: `file:${path}` });
    symlinkSync(first.configuration.dataDir, link);
    const refusal = await refusalOf(() => folders.start(first));
    expect(refusal).toMatchObject({ code: 'CONFIG_INVALID', field: 'audit-sink' });
    expect(refusal.hint).toContain('a directory of its own');
    rmSync(link);
    mkdirSync(join(link, 'audit'), { recursive: true });
    symlinkSync(join(first.configuration.dataDir, 'audit.jsonl'), path);
    writeFileSync(join(first.configuration.dataDir, 'audit.jsonl'), '');
    expect(await refusalOf(() => folders.start(first))).toMatchObject({ code: 'CONFIG_INVALID' });
    rmSync(path);
    const { client } = await started(first);
    await caughtUp(client);
  },
  LIMIT_MS,
);
