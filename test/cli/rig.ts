import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import type { Caller } from '../../src/api/ports.ts';
import type { Context } from '../../src/cli/context.ts';
import { run } from '../../src/cli/run.ts';
import type { GetRequest, RangeRequest } from '../../src/proto/kv.ts';
import type { KeyValue } from '../../src/proto/storage.ts';
import { FakeNode } from '../api/fakeNode.ts';
import type { FakeState } from '../api/fakeState.ts';
import { Rig } from '../api/rig.ts';

/** A fake node that also answers as of an earlier revision. */
export class HistoricNode extends FakeNode {
  /** Called before each read of a range. */
  beforeRange: (request: RangeRequest) => void = () => undefined;

  /** Called with each write. */
  onRequest: () => void = () => undefined;

  override transact(...args: Parameters<FakeNode['transact']>) {
    const answer = super.transact(...args);
    this.onRequest();
    return answer;
  }

  override get(caller: Caller, request: GetRequest) {
    if (request.revision === 0) return super.get(caller, request);
    return this.#asOf(request.revision, () => super.get(caller, request));
  }

  override range(caller: Caller, request: RangeRequest) {
    this.beforeRange(request);
    if (request.revision === 0) return super.range(caller, request);
    return this.#asOf(request.revision, () => super.range(caller, request));
  }

  /** `read` runs at once, up to its answer: nothing else sees the older items. */
  #asOf<T>(revision: number, read: () => T): T {
    const now = new Map(this.state.items);
    const nowRevision = this.state.revision;
    this.#setItems(itemsAsOf(this.state, revision));
    this.state.revision = revision;
    const answer = read();
    this.#setItems(now);
    this.state.revision = nowRevision;
    return answer;
  }

  #setItems(items: ReadonlyMap<string, KeyValue>): void {
    this.state.items.clear();
    for (const [key, item] of items) this.state.items.set(key, item);
  }
}

function itemsAsOf(state: FakeState, revision: number): Map<string, KeyValue> {
  const items = new Map<string, KeyValue>();
  for (const { events } of state.history.filter((one) => one.revision <= revision)) {
    for (const { type, item } of events) {
      if (!item) continue;
      const key = Buffer.from(item.key).toString('latin1');
      if (type === 0) items.set(key, item);
      else items.delete(key);
    }
  }
  return items;
}

export interface Ended {
  readonly status: number | null;
  readonly stdout: Buffer;
  readonly stderr: string;
  /** How the terminal was set: true hides what is typed. */
  readonly rawModes?: readonly boolean[];
}

export interface RunOptions {
  readonly stdin?: Buffer | string;
  readonly interrupted?: AbortSignal;
  readonly environment?: NodeJS.ProcessEnv;
  readonly terminal?: boolean;
  /** What a person types: there is a terminal then. */
  readonly typed?: string;
  /** Sees each piece of stdout as it is written. */
  readonly onOutput?: (text: string) => void;
}

/** The command line against a fake cluster, with a folder of its own. */
export class CliRig {
  readonly folder = mkdtempSync(join(tmpdir(), 'holdfast-cli-'));
  readonly node: HistoricNode;
  readonly environment: NodeJS.ProcessEnv;
  readonly context: Context;
  readonly #rig: Rig;

  readonly endpoint: string;

  private constructor(rig: Rig, parts: { node: HistoricNode; endpoint: string }) {
    this.endpoint = parts.endpoint;
    this.#rig = rig;
    this.node = parts.node;
    const path = join(this.folder, 'context.json');
    this.context = {
      name: 'test',
      endpoints: [parts.endpoint],
      ca: rig.authority.pem,
      certificate: rig.clientPem.certificate,
      privateKey: rig.clientPem.privateKey,
    };
    const file = { schema: 1, current: 'test', contexts: [this.context] };
    writeFileSync(path, JSON.stringify(file), { mode: 0o600 });
    this.environment = { HOLDFAST_CONFIG: path };
  }

  static async create(): Promise<CliRig> {
    const rig = await Rig.create();
    const node = new HistoricNode(rig.state);
    const { endpoint } = await rig.start({ node });
    return new CliRig(rig, { node, endpoint });
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  cli(words: readonly string[], options: RunOptions = {}): Promise<Ended> {
    return runHere(words, { environment: this.environment, ...options });
  }

  /** Puts keys straight into the fake store, each at a revision of its own. */
  async store(items: Readonly<Record<string, string | Buffer>>): Promise<void> {
    for (const [key, value] of Object.entries(items)) {
      const put = { key: Buffer.from(key), value: Buffer.from(value), previous: false };
      await this.node.transact(NOBODY, {
        request: null,
        transaction: { compares: [], success: [{ put }], failure: [] },
      });
    }
  }

  async close(): Promise<void> {
    await this.#rig.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

const NOBODY: Caller = { principal: { kind: 'client', name: 'test', address: '' }, deadlineMs: Infinity };

/** Runs one command line in this process. */
export async function runHere(words: readonly string[], options: RunOptions = {}): Promise<Ended> {
  const stdout = collector(options);
  const { typed } = options;
  const stderr = collector({ terminal: typed !== undefined });
  const rawModes: boolean[] = [];
  const stdin = Object.assign(Readable.from([Buffer.from(typed ?? options.stdin ?? '')]), {
    isTTY: typed !== undefined,
    setRawMode: (mode: boolean) => rawModes.push(mode),
  });
  const status = await run(
    {
      environment: options.environment ?? {},
      streams: { stdout: stdout.stream, stderr: stderr.stream },
      stdin,
      interrupted: options.interrupted ?? new AbortController().signal,
    },
    words,
  );
  return { status, stdout: stdout.bytes(), stderr: stderr.bytes().toString(), rawModes };
}

function collector({ onOutput, terminal = false }: RunOptions) {
  const chunks: Buffer[] = [];
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      chunks.push(chunk);
      onOutput?.(chunk.toString());
      done();
    },
  });
  return { stream: Object.assign(stream, { isTTY: terminal }), bytes: () => Buffer.concat(chunks) };
}

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

/** The program as a process of its own. */
export function spawnCli(words: readonly string[], environment: NodeJS.ProcessEnv) {
  const { HOLDFAST_CONFIG: _none, ...inherited } = process.env;
  const child = spawn(process.execPath, ['--import', 'tsx', MAIN, ...words], {
    env: { ...inherited, NO_COLOR: '1', ...environment },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const chunks: Buffer[] = [];
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const ended = async (): Promise<Ended> => {
    const [status] = (await once(child, 'close')) as [number | null];
    return { status, stdout: Buffer.concat(chunks), stderr };
  };
  return { child, ended: ended(), stderr: () => stderr };
}
