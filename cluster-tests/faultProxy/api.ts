import { createServer, type IncomingMessage, type Server } from 'node:http';
import { addressOf, FaultProxy, type ProxyBody } from './proxy.ts';
import { ApiError, isFields, parseToxic, textOr } from './toxics.ts';

const BODY_BYTES_MAX = 1024 * 1024;

interface Request {
  readonly body: unknown;
  readonly proxy: string;
  readonly toxic: string;
}

interface Answer {
  readonly status: number;
  readonly body?: unknown;
}

/** The proxies, behind the HTTP API of Toxiproxy. */
export class ProxyApi {
  readonly #proxies = new Map<string, FaultProxy>();
  readonly #random: () => number;
  readonly #routes: readonly (readonly [string, RegExp, (request: Request) => Answer | Promise<Answer>])[] = [
    ['GET', /^\/version$/, () => ({ status: 200, body: { version: 'holdfast-fault-proxy 1' } })],
    ['POST', /^\/reset$/, () => this.#reset()],
    ['GET', /^\/proxies$/, () => ({ status: 200, body: this.#all() })],
    ['POST', /^\/proxies$/, async ({ body }) => ({ status: 201, body: await this.#create(body) })],
    ['POST', /^\/populate$/, ({ body }) => this.#populate(body)],
    ['GET', PROXY, ({ proxy }) => ({ status: 200, body: this.#proxy(proxy).toJson() })],
    ['POST', PROXY, ({ proxy, body }) => this.#update(proxy, body)],
    ['DELETE', PROXY, ({ proxy }) => this.#remove(proxy)],
    ['GET', TOXICS, ({ proxy }) => ({ status: 200, body: this.#proxy(proxy).toxics })],
    ['POST', TOXICS, (request) => this.#addToxic(request)],
    ['GET', TOXIC, (request) => ({ status: 200, body: this.#toxic(request) })],
    ['POST', TOXIC, (request) => this.#updateToxic(request)],
    ['DELETE', TOXIC, (request) => this.#removeToxic(request)],
  ];

  constructor(random: () => number = Math.random) {
    this.#random = random;
  }

  server(): Server {
    return createServer((request, response) => {
      this.#answer(request)
        .catch((thrown: unknown): Answer => {
          const status = thrown instanceof ApiError ? thrown.status : 500;
          const error = thrown instanceof Error ? thrown.message : String(thrown);
          return { status, body: { error, status } };
        })
        .then(({ status, body }) => {
          // A connection kept for later could be closed in the moment in which a caller uses it again.
          response.writeHead(status, { 'content-type': 'application/json', connection: 'close' });
          response.end(body === undefined ? '' : JSON.stringify(body));
        }, request.destroy.bind(request));
    });
  }

  async stop(): Promise<void> {
    for (const proxy of this.#proxies.values()) await proxy.stop();
  }

  async #answer(request: IncomingMessage): Promise<Answer> {
    const { pathname } = new URL(request.url ?? '/', 'http://proxy');
    const method = request.method === 'PATCH' ? 'POST' : request.method;
    for (const [verb, pattern, answer] of this.#routes) {
      const match = verb === method ? pattern.exec(pathname) : null;
      if (match === null) continue;
      const [proxy = '', toxic = ''] = match.slice(1).map(decodeURIComponent);
      return await answer({ body: await bodyOf(request), proxy, toxic });
    }
    throw new ApiError(404, 'no such resource');
  }

  #all(): object {
    return Object.fromEntries([...this.#proxies].map(([name, proxy]) => [name, proxy.toJson()]));
  }

  #proxy(name: string): FaultProxy {
    const proxy = this.#proxies.get(name);
    if (proxy === undefined) throw new ApiError(404, 'proxy not found');
    return proxy;
  }

  async #create(fields: unknown): Promise<object> {
    const body = parseProxy(fields);
    if (this.#proxies.has(body.name)) throw new ApiError(409, 'proxy already exists');
    const proxy = new FaultProxy(body, this.#random);
    if (body.enabled) await proxy.start();
    this.#proxies.set(body.name, proxy);
    return proxy.toJson();
  }

  async #populate(bodies: unknown): Promise<Answer> {
    if (!Array.isArray(bodies)) throw new ApiError(400, 'populate takes a list of proxies');
    const proxies: object[] = [];
    for (const fields of bodies) {
      const body = parseProxy(fields);
      const known = this.#proxies.get(body.name);
      if (known === undefined) proxies.push(await this.#create(fields));
      else {
        await known.update(body);
        proxies.push(known.toJson());
      }
    }
    return { status: 201, body: { proxies } };
  }

  async #update(name: string, fields: unknown): Promise<Answer> {
    const proxy = this.#proxy(name);
    const body = parseProxy({ ...proxy.toJson(), ...(isFields(fields) ? fields : {}), name });
    await proxy.update(body);
    return { status: 200, body: proxy.toJson() };
  }

  async #remove(name: string): Promise<Answer> {
    await this.#proxy(name).stop();
    this.#proxies.delete(name);
    return { status: 204 };
  }

  async #reset(): Promise<Answer> {
    for (const proxy of this.#proxies.values()) {
      proxy.setToxics([]);
      await proxy.update({ enabled: true });
    }
    return { status: 204 };
  }

  #toxic({ proxy, toxic }: Request) {
    const found = this.#proxy(proxy).toxics.find(({ name }) => name === toxic);
    if (found === undefined) throw new ApiError(404, 'toxic not found');
    return found;
  }

  #addToxic({ proxy: name, body }: Request): Answer {
    const proxy = this.#proxy(name);
    const toxic = parseToxic(body);
    if (proxy.toxics.some((other) => other.name === toxic.name))
      throw new ApiError(409, 'toxic already exists');
    proxy.setToxics([...proxy.toxics, toxic]);
    return { status: 200, body: toxic };
  }

  #updateToxic(request: Request): Answer {
    const proxy = this.#proxy(request.proxy);
    const before = this.#toxic(request);
    const toxic = parseToxic(request.body, before);
    proxy.setToxics(proxy.toxics.map((other) => (other === before ? toxic : other)));
    return { status: 200, body: toxic };
  }

  #removeToxic(request: Request): Answer {
    const proxy = this.#proxy(request.proxy);
    const gone = this.#toxic(request);
    proxy.setToxics(proxy.toxics.filter((toxic) => toxic !== gone));
    return { status: 204 };
  }
}

const PROXY = /^\/proxies\/([^/]+)$/;
const TOXICS = /^\/proxies\/([^/]+)\/toxics$/;
const TOXIC = /^\/proxies\/([^/]+)\/toxics\/([^/]+)$/;

function parseProxy(fields: unknown): ProxyBody {
  if (!isFields(fields)) throw new ApiError(400, 'a proxy is a JSON object');
  const name = textOr(fields['name'], '');
  const upstream = textOr(fields['upstream'], '');
  if (name === '') throw new ApiError(400, 'missing required field: name');
  if (upstream === '') throw new ApiError(400, 'missing required field: upstream');
  const listen = textOr(fields['listen'], '127.0.0.1:0');
  addressOf(listen);
  addressOf(upstream);
  return { name, listen, upstream, enabled: fields['enabled'] !== false };
}

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > BODY_BYTES_MAX) throw new ApiError(413, 'body too large');
    chunks.push(chunk);
  }
  if (bytes === 0) return undefined;
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8')) as unknown;
  } catch {
    throw new ApiError(400, 'the body is not JSON');
  }
}
