import { Client, credentials, type ServiceError } from '@grpc/grpc-js';
import protobuf from 'protobufjs';

const { root } = protobuf.parse(`
  syntax = "proto3";
  package etcdserverpb;
  message PutRequest { bytes key = 1; bytes value = 2; }
  message PutResponse { }
  message RangeRequest { bytes key = 1; }
  message RangeResponse { int64 count = 4; }
  message StatusRequest { }
  message StatusResponse { ResponseHeader header = 1; string version = 2; uint64 leader = 4; }
  message ResponseHeader { uint64 cluster_id = 1; uint64 member_id = 2; int64 revision = 3; }
`);

const message = (name: string) => root.lookupType(`etcdserverpb.${name}`);

/** Unary calls to etcd's v3 API: just what the comparison needs. */
export class EtcdClient {
  readonly #client: Client;

  constructor({ endpoint, ca }: { endpoint: string; ca: Buffer }) {
    this.#client = new Client(endpoint, credentials.createSsl(ca));
  }

  put(key: Buffer, value: Buffer): Promise<object> {
    return this.#call(
      '/etcdserverpb.KV/Put',
      { request: 'PutRequest', response: 'PutResponse' },
      { key, value },
    );
  }

  /** A linearizable read, which is etcd's default. */
  get(key: Buffer): Promise<object> {
    return this.#call(
      '/etcdserverpb.KV/Range',
      { request: 'RangeRequest', response: 'RangeResponse' },
      { key },
    );
  }

  async status(): Promise<{ isLeader: boolean; revision: number; version: string }> {
    const types = { request: 'StatusRequest', response: 'StatusResponse' };
    const answer = (await this.#call('/etcdserverpb.Maintenance/Status', types, {})) as {
      header: { memberId: bigint | number | string; revision: number | string };
      leader: bigint | number | string;
      version: string;
    };
    return {
      isLeader: String(answer.header.memberId) === String(answer.leader),
      revision: Number(answer.header.revision),
      version: answer.version,
    };
  }

  close(): void {
    this.#client.close();
  }

  #call(path: string, types: { request: string; response: string }, body: object): Promise<object> {
    const request = message(types.request);
    const response = message(types.response);
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        path,
        (value: object) => request.encode(value).finish() as Buffer,
        (bytes: Buffer) => response.decode(bytes),
        body,
        { deadline: new Date(Date.now() + 10_000) },
        (error: ServiceError | null, answer?: object) => {
          if (error !== null) reject(error);
          else resolve(answer ?? {});
        },
      );
    });
  }
}
