import { Client, credentials, type Metadata, type ServiceError } from '@grpc/grpc-js';
import { present } from '../../src/base/assert.ts';
import { accessService } from '../../src/proto/access.ts';
import { clusterService } from '../../src/proto/cluster.ts';
import {
  kvService,
  type SessionRequest,
  type SessionResponse,
  type WatchRequest,
  type WatchResponse,
} from '../../src/proto/kv.ts';
import type { Pem, TestAuthority } from './certificates.ts';

/** A gRPC client without any of the client library, to see what the server itself does. */
export function rawClient(endpoint: string, authority: TestAuthority, pem: Pem | null): Client {
  const channel = credentials.createSsl(
    Buffer.from(authority.pem),
    pem === null ? null : Buffer.from(pem.privateKey),
    pem === null ? null : Buffer.from(pem.certificate),
  );
  return new Client(endpoint.replace('127.0.0.1', 'localhost'), channel, { 'grpc.enable_retries': 0 });
}

const SERVICES = { kv: kvService, cluster: clusterService, access: accessService };

export function unaryCall<T = Record<string, unknown>>(
  client: Client,
  call: { service?: keyof typeof SERVICES; method: string; request: object; timeoutMs?: number },
): Promise<T> {
  const method = present(SERVICES[call.service ?? 'kv'][call.method], call.method);
  const options = { deadline: Date.now() + (call.timeoutMs ?? 10_000) };
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      call.request,
      options,
      (error, response) => (error === null ? resolve(response as T) : reject(error)),
    );
  });
}

export function sessionCall(client: Client) {
  const method = present(kvService['session'], 'session');
  return client.makeBidiStreamRequest<SessionRequest, SessionResponse>(
    method.path,
    method.requestSerialize as (value: SessionRequest) => Buffer,
    method.responseDeserialize as (bytes: Buffer) => SessionResponse,
  );
}

export function watchCall(client: Client) {
  const method = present(kvService['watch'], 'watch');
  return client.makeBidiStreamRequest<WatchRequest, WatchResponse>(
    method.path,
    method.requestSerialize as (value: WatchRequest) => Buffer,
    method.responseDeserialize as (bytes: Buffer) => WatchResponse,
  );
}

export function holdfastCode(error: unknown): string {
  return String((error as ServiceError & { metadata: Metadata }).metadata.get('holdfast-code')[0]);
}
