import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { type Proxy as ToxicProxy, Toxiproxy } from 'toxiproxy-node-client';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { until } from '../until.ts';
import { type ProxyServer, startProxyServer } from './start.ts';

const LIMIT_MS = 10_000;

let proxies: ProxyServer;
let echo: Server;
let upstream: string;
let proxy: ToxicProxy;
const sockets = new Set<Socket>();

beforeAll(async () => {
  proxies = await startProxyServer();
  echo = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.pipe(socket);
  });
  echo.listen(0, '127.0.0.1');
  await once(echo, 'listening');
  const address = echo.address();
  upstream = `127.0.0.1:${address !== null && typeof address !== 'string' ? address.port : 0}`;
}, 30_000);

afterAll(async () => {
  echo.close();
  await proxies.stop();
});

beforeEach(async () => {
  proxy = await proxies.client.createProxy({ name: 'link', listen: '127.0.0.1:0', upstream });
});

afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  sockets.clear();
  await proxy.remove();
});

interface Caller {
  readonly socket: Socket;
  received(): Buffer;
  /** How the connection ended: open, ended, closed, or the code of an error. */
  end(): string;
}

async function call(address = proxy.listen): Promise<Caller> {
  const [host = '', port] = address.split(':');
  const socket = connect({ host, port: Number(port) });
  sockets.add(socket);
  const chunks: Buffer[] = [];
  let end = 'open';
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  socket.on('end', () => {
    end = 'ended';
  });
  socket.on('error', (error: NodeJS.ErrnoException) => {
    end = error.code ?? 'error';
  });
  socket.on('close', () => {
    if (end === 'open' || end === 'ended') end = 'closed';
  });
  await once(socket, 'connect');
  return { socket, received: () => Buffer.concat(chunks), end: () => end };
}

const echoed = (caller: Caller, text: string) =>
  until(
    LIMIT_MS,
    () => `${text.length} bytes; there are ${caller.received().length}, and the end is ${caller.end()}`,
    () => caller.received().toString() === text,
  );

const ends = (caller: Caller, how: string) =>
  until(
    LIMIT_MS,
    () => `${how}; it is ${caller.end()}`,
    () => caller.end() === how,
  );

const toxic = <T>(type: Parameters<ToxicProxy['addToxic']>[0]['type'], attributes: T, more: object = {}) =>
  proxy.addToxic({ name: type, type, stream: 'downstream', toxicity: 1, attributes, ...more });

describe('without toxics', () => {
  it('passes bytes both ways, and the end of a stream', async () => {
    const caller = await call();
    const text = 'x'.repeat(3_000_000);
    caller.socket.end(text);
    await echoed(caller, text);
    await until(LIMIT_MS, 'the end', () => caller.end() !== 'open');
  });

  it('holds a sender back whose receiver does not read', async () => {
    const silent = createServer((socket) => {
      sockets.add(socket.pause());
    });
    silent.listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const address = silent.address();
    const port = address !== null && typeof address !== 'string' ? address.port : 0;
    const stuck = await proxies.client.createProxy({
      name: 'stuck',
      listen: '127.0.0.1:0',
      upstream: `127.0.0.1:${port}`,
    });
    const caller = await call(stuck.listen);
    const chunk = Buffer.alloc(64 * 1024);
    let sent = 0;
    // Sockets and the proxy hold some; that the writing stops well before this is what is tested.
    while (sent < 256 * 1024 * 1024 && caller.socket.writableLength < 8 * 1024 * 1024) {
      caller.socket.write(chunk);
      sent += chunk.length;
      await new Promise(setImmediate);
    }
    expect(sent).toBeLessThan(128 * 1024 * 1024);
    await stuck.remove();
    silent.close();
  });

  it('refuses connections while it is not enabled, and ends those that there are', async () => {
    const caller = await call();
    await proxy.update({ enabled: false, listen: proxy.listen, upstream });
    await ends(caller, 'closed');
    await expect(call()).rejects.toThrow(/ECONNREFUSED/);
    await proxy.update({ enabled: true, listen: proxy.listen, upstream });
    const again = await call();
    again.socket.write('hello');
    await echoed(again, 'hello');
  });
});

describe('toxics', () => {
  it('latency holds bytes back, in order, for as long as it says', async () => {
    await toxic('latency', { latency: 300, jitter: 50 });
    const caller = await call();
    const sentMs = performance.now();
    for (let i = 0; i < 10; i += 1) caller.socket.write(`${i}`);
    await echoed(caller, '0123456789');
    expect(performance.now() - sentMs).toBeGreaterThan(249);
  });

  it('bandwidth lets through so many kilobytes a second', async () => {
    await toxic('bandwidth', { rate: 100 });
    const caller = await call();
    const sentMs = performance.now();
    caller.socket.write('x'.repeat(50 * 1024));
    await echoed(caller, 'x'.repeat(50 * 1024));
    expect(performance.now() - sentMs).toBeGreaterThan(400);
  });

  it('slow_close delays the end', async () => {
    await toxic('slow_close', { delay: 300 });
    const caller = await call();
    const sentMs = performance.now();
    caller.socket.end('bye');
    await echoed(caller, 'bye');
    await until(LIMIT_MS, 'the end', () => caller.end() !== 'open');
    expect(performance.now() - sentMs).toBeGreaterThan(299);
  });

  it('timeout of 0 swallows one direction until it is gone, and the connection with it', async () => {
    const caller = await call();
    await toxic('timeout', { timeout: 0 }, { stream: 'upstream' });
    caller.socket.write('lost');
    const other = await proxies.client.createProxy({ name: 'other', listen: '127.0.0.1:0', upstream });
    const meanwhile = await call(other.listen);
    meanwhile.socket.write('through');
    await echoed(meanwhile, 'through');
    expect(caller.received().length).toBe(0);
    expect(caller.end()).toBe('open');
    await (await proxy.getToxic('timeout')).remove();
    await ends(caller, 'closed');
    expect(caller.received().length).toBe(0);
    await other.remove();
  });

  it('timeout ends the connection after its time', async () => {
    await toxic('timeout', { timeout: 200 });
    const caller = await call();
    const sentMs = performance.now();
    caller.socket.write('lost');
    await ends(caller, 'closed');
    expect(performance.now() - sentMs).toBeGreaterThan(150);
    expect(caller.received().length).toBe(0);
  });

  it('slicer cuts what was one piece', async () => {
    await toxic('slicer', { average_size: 10, size_variation: 2, delay: 1_000 });
    const caller = await call();
    let pieces = 0;
    caller.socket.on('data', () => {
      pieces += 1;
    });
    caller.socket.write('y'.repeat(300));
    await echoed(caller, 'y'.repeat(300));
    expect(pieces).toBeGreaterThan(5);
  });

  it('limit_data ends the connection after so many bytes', async () => {
    await toxic('limit_data', { bytes: 100 });
    const caller = await call();
    caller.socket.write('z'.repeat(250));
    await ends(caller, 'closed');
    expect(caller.received().length).toBeLessThan(101);
  });

  it('reset_peer resets the connection', async () => {
    await toxic('reset_peer', { timeout: 0 });
    const [host = '', port] = proxy.listen.split(':');
    const socket = connect({ host, port: Number(port) });
    const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException];
    expect(error.code).toBe('ECONNRESET');
  });

  it('are for as many connections as their toxicity says', async () => {
    await toxic('timeout', { timeout: 0 }, { toxicity: 0.5 });
    const callers = await Promise.all(Array.from({ length: 60 }, () => call()));
    for (const caller of callers) caller.socket.write('hello');
    const through = () => callers.filter((caller) => caller.received().length > 0).length;
    await until(LIMIT_MS, 'some to get through', () => through() > 5);
    expect(through()).toBeLessThan(58);
  });
});

describe('the API', () => {
  it('tells of proxies and toxics, changes them, and puts everything back', async () => {
    const added = await toxic('latency', { latency: 5_000, jitter: 0 });
    const changed = await added.update({ ...added.toJson(), attributes: { latency: 1, jitter: 0 } });
    expect(changed.attributes).toEqual({ latency: 1, jitter: 0 });
    const all = await proxies.client.getAll();
    expect(Object.keys(all)).toEqual(['link']);
    await proxy.update({ enabled: false, listen: proxy.listen, upstream });
    await proxies.client.reset();
    const listed: unknown = await (await fetch(`${proxies.client.host}/proxies/link`)).json();
    expect(listed).toMatchObject({ enabled: true, toxics: [] });
    expect(await proxies.client.getVersion()).toMatch(/\S/);
  });

  it('populates, and takes what is there already as it is', async () => {
    const body = { name: 'link', listen: proxy.listen, upstream };
    const made = await proxies.client.populate([body, { name: 'second', listen: '127.0.0.1:0', upstream }]);
    expect(Object.keys(made)).toEqual(['link', 'second']);
    await made['second']?.remove();
  });

  it.each([
    ['POST', '/proxies', { name: 'link', upstream: '127.0.0.1:1' }, 409],
    ['POST', '/proxies', { name: 'next' }, 400],
    ['POST', '/proxies', { name: 'next', upstream: 'nowhere' }, 400],
    ['GET', '/proxies/none', undefined, 404],
    ['GET', '/proxies/link/toxics/none', undefined, 404],
    ['POST', '/proxies/link/toxics', { type: 'poison' }, 400],
    ['POST', '/proxies/link/toxics', { type: 'latency', stream: 'sideways' }, 400],
    ['POST', '/proxies/link/toxics', { type: 'latency', toxicity: 2 }, 400],
    ['POST', '/proxies/link/toxics', { type: 'latency', attributes: { latency: -1 } }, 400],
    ['GET', '/elsewhere', undefined, 404],
  ])('answers %s %s %j with %i', async (method, path, body, status) => {
    if (proxies.foreign) return;
    const request = body === undefined ? { method } : { method, body: JSON.stringify(body) };
    expect((await fetch(`${proxies.client.host}${path}`, request)).status).toBe(status);
  });
});

it('a client without a server fails with a reason', async () => {
  await expect(new Toxiproxy('http://127.0.0.1:1').getVersion()).rejects.toThrow();
});
