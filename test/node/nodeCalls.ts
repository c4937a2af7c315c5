import { Client, credentials, Metadata } from '@grpc/grpc-js';
import { present } from '../../src/base/assert.ts';
import {
  type GetRequest,
  type GetResponse,
  type HistoryRequest,
  type HistoryResponse,
  kvService,
  type RangeRequest,
  type RangeResponse,
} from '../../src/proto/kv.ts';

const DEADLINE_MS = 10_000;

/** Asks one node and no other, as a client that knows of no leader does. */
export class NodeCalls {
  readonly #client: Client;
  readonly #metadata = new Metadata();

  constructor({
    address,
    ca,
    token,
  }: { readonly address: string; readonly ca: string; readonly token: string }) {
    const named = address.replace('127.0.0.1', 'localhost');
    this.#client = new Client(named, credentials.createSsl(Buffer.from(ca)), { 'grpc.enable_retries': 0 });
    this.#metadata.set('authorization', `Bearer ${token}`);
  }

  get(key: string, request: Partial<GetRequest> = {}): Promise<GetResponse> {
    return this.#call<GetResponse>('get', { key: Buffer.from(key), ...request });
  }

  range(prefix: string, request: Partial<RangeRequest> = {}): Promise<RangeResponse> {
    const end =
      prefix === ''
        ? ''
        : `${prefix.slice(0, -1)}${String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1)}`;
    return this.#call<RangeResponse>('range', {
      range: { start: Buffer.from(prefix), end: Buffer.from(end) },
      ...request,
    });
  }

  history(key: string, request: Partial<HistoryRequest> = {}): Promise<HistoryResponse> {
    return this.#call<HistoryResponse>('history', { key: Buffer.from(key), ...request });
  }

  close(): void {
    this.#client.close();
  }

  #call<Response>(method: string, request: object): Promise<Response> {
    const { path, requestSerialize, responseDeserialize } = present(kvService[method], method);
    const options = { deadline: Date.now() + DEADLINE_MS };
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        this.#metadata,
        options,
        (error, answer) => {
          if (error === null && answer !== undefined) resolve(answer as Response);
          else reject(new Error(String(error?.metadata.get('holdfast-code')[0] ?? error?.message)));
        },
      );
    });
  }
}
