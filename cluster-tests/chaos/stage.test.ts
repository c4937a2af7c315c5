import { once } from 'node:events';
import {
  closeSync,
  fsyncSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type ProxyServer, startProxyServer } from '../faultProxy/start.ts';
import { LocalCluster } from '../localCluster.ts';
import { until } from '../until.ts';
import { Cleanup } from './cleanup.ts';
import { command } from './command.ts';
import { Disks } from './disks.ts';
import { machine } from './machine.ts';
import { mayLack } from './means.ts';
import { loopbackNetwork, type Network, namespaceNetwork } from './network.ts';
import { DURABLE_WRITES, LOG_WRITES, Tracer } from './tracer.ts';

const LIMIT_MS = 15_000;
// On a real disk, which the folder for temporary files need not be.
const dir = mkdtempSync(join('/var/tmp', 'chaos-stage-'));
const able = machine(dir);
const MEANS = ['namespaces', 'loopImages', 'strace', 'faketime', 'realDisk'] as const;
const cleanup = new Cleanup();
let proxies: ProxyServer;

beforeAll(async () => {
  proxies = await startProxyServer();
  cleanup.add('fault proxy', () => proxies.stop());
}, 60_000);

afterAll(async () => {
  await cleanup.run();
  rmSync(dir, { recursive: true, force: true });
});

it.each(MEANS.filter((need) => !mayLack(need)))('has %s here', (need) => {
  expect([...able]).toContain(need);
});

/** Says back what it hears, at the peer port of slot 2. */
async function echo(port: number, host: string): Promise<Server> {
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.pipe(socket);
  });
  server.listen(port, host);
  await once(server, 'listening');
  return server;
}

function talk(socket: Socket): { readonly heard: () => string; readonly ended: () => string } {
  let heard = '';
  let ended = '';
  socket.setEncoding('utf8').on('data', (text: string) => {
    heard += text;
  });
  socket.on('error', (error: NodeJS.ErrnoException) => {
    ended = error.code ?? 'error';
  });
  socket.on('close', () => {
    if (ended === '') ended = 'closed';
  });
  return { heard: () => heard, ended: () => ended };
}

describe('a network on loopback', () => {
  it('has a proxy in front of each peer port', async () => {
    const network = await loopbackNetwork({ slots: 2, proxies: proxies.client, cleanup });
    const [, second] = network.places;
    const server = await echo(second?.peerPort ?? 0, '127.0.0.1');
    const [host = '', port] = (second?.advertisePeer ?? '').split(':');
    const socket = connect({ host, port: Number(port) });
    const { heard, ended } = talk(socket);
    socket.write('one');
    await until(LIMIT_MS, 'an echo', () => heard() === 'one');
    const undo = await network.poison([{ from: 1, to: 2 }], {
      type: 'reset_peer',
      attributes: { timeout: 0 },
    });
    await until(LIMIT_MS, 'a reset', () => ended() === 'ECONNRESET');
    await undo();
    server.close();
  });
});

describe.skipIf(!able.has('namespaces'))('a network of namespaces', () => {
  let network: Network;
  /** Runs `nc`-like Node.js programs inside: prints what it hears. */
  const inside = (slot: number) => network.places[slot - 1]?.wrapper ?? [];
  const script = (host: string, port: number) =>
    `const s = require('net').connect(${port}, '${host}');
     s.setTimeout(1500, () => { console.log('silent'); process.exit(); });
     s.on('error', (e) => { console.log(e.code); process.exit(); });
     s.on('data', (d) => { console.log('heard ' + d); process.exit(); });
     s.write('hello');`;

  /** What slot `from` hears from the peer port of slot 2 or 3. */
  const call = (from: number, to: number): string => {
    const [program = '', ...args] = inside(from);
    const place = network.places[to - 1];
    return command(program, [
      ...args,
      process.execPath,
      '-e',
      script(place?.host ?? '', place?.peerPort ?? 0),
    ]).trim();
  };

  beforeAll(async () => {
    network = await namespaceNetwork({ slots: 3, proxies: proxies.client, cleanup });
    for (const slot of [2, 3]) {
      const { host = '', peerPort = 0 } = network.places[slot - 1] ?? {};
      const [program = '', ...args] = inside(slot);
      const { spawn } = await import('node:child_process');
      const child = spawn(
        program,
        [
          ...args,
          process.execPath,
          '-e',
          `require('net').createServer((s) => s.on('error', () => {}).pipe(s)).listen(${peerPort}, '${host}', () => console.log('up'))`,
        ],
        { stdio: ['ignore', 'pipe', 'inherit'] },
      );
      cleanup.add('echo', () => child.kill('SIGKILL'));
      await once(child.stdout, 'data');
    }
  }, 60_000);

  beforeEach(() => {
    expect(call(1, 2)).toBe('heard hello');
  });

  it('drops the packets of one link and of no other', async () => {
    const undo = await network.packets([{ from: 1, to: 2 }], { kind: 'drop' });
    expect(call(1, 2)).toBe('silent');
    expect(call(1, 3)).toBe('heard hello');
    expect(call(3, 2)).toBe('heard hello');
    expect(await undo()).toBeGreaterThan(0);
    expect(call(1, 2)).toBe('heard hello');
  });

  it('tells of a fault that no packet met', async () => {
    const silence = { type: 'timeout', attributes: { timeout: 0 } } as const;
    const undo = [
      await network.packets([{ from: 3, to: 2 }], { kind: 'drop' }),
      await network.poison([{ from: 3, to: 2 }], silence),
    ];
    expect(call(1, 2)).toBe('heard hello');
    for (const one of undo) expect(await one()).toBe(0);
  });

  it('tells whether so many bytes have passed that a connection was cut', async () => {
    const limitedTo = (bytes: number) =>
      network.poison([{ from: 1, to: 2 }], { type: 'limit_data', attributes: { bytes } });
    for (const { bytes, struck } of [
      { bytes: 1_000, struck: 0 },
      { bytes: 3, struck: 1 },
    ]) {
      const undo = await limitedTo(bytes);
      call(1, 2);
      expect(await undo()).toBe(struck);
    }
  });

  it('drops answers on connections from the other end too', async () => {
    const undo = await network.packets([{ from: 2, to: 1 }], { kind: 'drop' });
    expect(call(1, 2)).toBe('silent');
    expect(call(3, 2)).toBe('heard hello');
    await undo();
  });

  it('resets', async () => {
    const undo = await network.packets([{ from: 2, to: 1 }], { kind: 'reset' });
    expect(call(1, 2)).not.toBe('heard hello');
    await undo();
  });

  it('loses some', async () => {
    const undo = await network.packets([{ from: 1, to: 2 }], { kind: 'loss', probability: 0.999 });
    expect(call(1, 2)).toBe('silent');
    await undo();
  });

  it('poisons one link and no other', async () => {
    const silence = { type: 'timeout', attributes: { timeout: 0 }, stream: 'downstream' } as const;
    const undo = await network.poison([{ from: 1, to: 2 }], silence);
    expect(call(1, 2)).toBe('silent');
    expect(call(3, 2)).toBe('heard hello');
    expect(await undo()).toBeGreaterThan(0);
  });
});

describe.skipIf(!able.has('loopImages'))('disks', () => {
  const disks = new Disks(join(dir, 'disks'));
  beforeAll(() => disks.create(1, cleanup), 60_000);

  it('lose what was not synced when the power is cut', async () => {
    const kept = join(disks.mountPoint(1), 'kept');
    const lost = join(disks.mountPoint(1), 'lost');
    const file = openSync(kept, 'w');
    writeSync(file, 'synced');
    fsyncSync(file);
    closeSync(file);
    writeFileSync(lost, 'x'.repeat(100_000));
    disks.cut(1);
    const reader = openSync(kept, 'r');
    setTimeout(() => closeSync(reader), 200);
    await disks.boot(1);
    expect(readFileSync(kept, 'utf8')).toBe('synced');
    expect(() => {
      if (readFileSync(lost, 'utf8').length !== 100_000) throw new Error('cut short');
    }).toThrow();
  });

  it('can be full, and have room again', () => {
    const file = join(disks.mountPoint(1), 'more');
    disks.fill(1);
    expect(() => writeFileSync(file, 'y'.repeat(1_000_000))).toThrow(/ENOSPC/);
    disks.free(1);
    writeFileSync(file, 'y'.repeat(1_000_000));
  });
});

describe.skipIf(!able.has('strace'))('the disk of a node', () => {
  const DELAY_MS = 700;
  let cluster: LocalCluster;
  let tracer: Tracer | undefined;

  beforeAll(async () => {
    await LocalCluster.form(1, {
      onCreated: (made) => {
        cluster = made;
        cleanup.add('cluster', () => made.destroy());
      },
    });
  }, 60_000);
  afterEach(() => tracer?.end());

  /** Puts until the fault has been met, then once more; tells how long that one took. */
  async function putWhenMet(isMet: () => boolean): Promise<number> {
    const client = await cluster.client(['n1'], LIMIT_MS);
    const put = () => client.put('key', 'value', { timeoutMs: 3 * DELAY_MS }).catch(() => undefined);
    try {
      const struck = (): string => JSON.stringify([...(tracer?.struck ?? [])]);
      await until(
        LIMIT_MS,
        () => `a write of the log that meets the fault, which met ${struck()}`,
        async () => {
          await put();
          return isMet();
        },
      );
      const startedMs = performance.now();
      await put();
      return performance.now() - startedMs;
    } finally {
      await client.close();
    }
  }

  it('is slow where the log is written', async () => {
    tracer = new Tracer(cluster.processId('n1'), DURABLE_WRITES, `delay_exit=${DELAY_MS * 1_000}`);
    expect(await putWhenMet(() => tracer?.struckLog() === true)).toBeGreaterThanOrEqual(DELAY_MS);
  });

  it('refuses what is written to the log, and the node ends', async () => {
    tracer = new Tracer(cluster.processId('n1'), LOG_WRITES, 'error=EIO');
    // The watermark beside the log may meet it first, and then no segment ever does.
    await putWhenMet(() => !cluster.isRunning('n1'));
    expect(readFileSync(cluster.node('n1').logPath, 'utf8')).toContain('DISK_FAILED');
  });
});
