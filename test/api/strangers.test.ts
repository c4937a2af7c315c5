import { gzipSync } from 'node:zlib';
import {
  type Client,
  Metadata,
  type ServerInterceptingCallInterface,
  type ServerMethodDefinition,
  type ServiceError,
  type StatusObject,
  status,
} from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Callers } from '../../src/api/caller.ts';
import { strangersShowTokensFirst } from '../../src/api/strangers.ts';
import { present } from '../../src/base/assert.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { accessService } from '../../src/proto/access.ts';
import { rawClient, unaryCall } from './rawClient.ts';
import { Rig, type RunningNode } from './rig.ts';
import { until } from './until.ts';

const LOGIN = present(accessService['login'], 'login');

let rig: Rig;
let running: RunningNode;
let stranger: Client;
beforeEach(async () => {
  rig = await Rig.create();
  running = await rig.start();
  stranger = rawClient(running.endpoint, rig.authority, null);
});
afterEach(async () => {
  stranger.close();
  await rig.close();
});

const login = (password: Buffer, by = stranger) =>
  unaryCall(by, { service: 'access', method: 'login', request: { name: 'ada', password } });
const codeOf = (call: Promise<unknown>): Promise<number> =>
  call.then(
    () => status.OK,
    (thrown: ServiceError) => thrown.code,
  );
const asked = () => running.node.access.asked.length;

describe('a stranger', () => {
  it('may log in, and ask for nothing else', async () => {
    expect(await login(Buffer.from('right password'))).toMatchObject({ token: 'session-of-ada' });
    expect(running.node.access.asked).toEqual([
      [
        'login',
        { kind: 'stranger', name: '', address: expect.stringMatching(/^127\.0\.0\.1:/) as string },
        { name: 'ada', password: 'right password' },
      ],
    ]);
    const other = unaryCall(stranger, { service: 'access', method: 'whoAmI', request: {} });
    expect(await codeOf(other)).toBe(status.UNAUTHENTICATED);
  });

  it('has no more read of a login than a password takes, nor does a client', async () => {
    const most = Buffer.alloc(LIMITS.loginRequestBytesMax - 16, 'x');
    expect(await codeOf(login(most))).toBe(status.UNAUTHENTICATED);
    expect(asked()).toBe(1);
    const client = rawClient(running.endpoint, rig.authority, rig.clientPem);
    for (const by of [stranger, client]) {
      expect(await codeOf(login(Buffer.alloc(LIMITS.loginRequestBytesMax), by))).toBe(
        status.RESOURCE_EXHAUSTED,
      );
    }
    client.close();
    expect(asked()).toBe(1);
  });

  it('has nothing unpacked that becomes longer than that', async () => {
    const packed = gzipSync(Buffer.concat([Buffer.from([10, 3, 97, 100, 97]), Buffer.alloc(1024 * 1024)]));
    expect(packed.length).toBeLessThan(LIMITS.loginRequestBytesMax);
    const metadata = new Metadata();
    metadata.set('grpc-encoding', 'gzip');
    const call = new Promise((resolve, reject) => {
      const stream = stranger.makeClientStreamRequest(
        LOGIN.path,
        () => packed,
        LOGIN.responseDeserialize,
        metadata,
        { deadline: Date.now() + 10_000 },
        (error, response) => (error === null ? resolve(response) : reject(error)),
      );
      stream.end({});
    });
    expect(await codeOf(call)).not.toBe(status.OK);
    expect(asked()).toBe(0);
  });

  it('logs in a few times at a time on a connection, however slowly', async () => {
    const codes: number[] = [];
    const open = () =>
      stranger.makeClientStreamRequest(
        LOGIN.path,
        LOGIN.requestSerialize,
        LOGIN.responseDeserialize,
        (error) => codes.push(error?.code ?? status.OK),
      );
    const slow = Array.from({ length: LIMITS.loginsPerStrangerMax }, open);
    const further = open();
    await until(() => codes.length > 0, 'an answer');
    expect(codes).toEqual([status.RESOURCE_EXHAUSTED]);
    for (const call of [...slow, further]) call.cancel();
    await until(() => codes.length > slow.length, 'all to be over');
    expect(await login(Buffer.from('right password'))).toMatchObject({ token: 'session-of-ada' });
  });
});

it('a call that cannot go on once its token is known to be good is refused', async () => {
  const statuses: Partial<StatusObject>[] = [];
  let arrive: (metadata: Metadata) => void = () => undefined;
  const call = {
    start: (listener: { onReceiveMetadata: (metadata: Metadata) => void }) => {
      arrive = (metadata) => listener.onReceiveMetadata(metadata);
    },
    getAuthContext: () => ({}),
    getPeer: () => '127.0.0.1:1',
    sendStatus: (given: Partial<StatusObject>) => statuses.push(given),
  };
  const callers = { identified: () => Promise.resolve(), deadlineMs: () => 0 };
  const intercept = strangersShowTokensFirst(callers as unknown as Callers);
  const goesOn = () => {
    throw new Error('the call is over');
  };
  intercept(
    { path: '/holdfast.v1.Access/WhoAmI' } as ServerMethodDefinition<unknown, unknown>,
    call as unknown as ServerInterceptingCallInterface,
  ).start({
    onReceiveMetadata: goesOn,
    onReceiveMessage: () => undefined,
    onReceiveHalfClose: () => undefined,
    onCancel: () => undefined,
  });
  arrive(new Metadata());
  await until(() => statuses.length > 0, 'an answer');
  expect(statuses).toEqual([expect.objectContaining({ code: status.INTERNAL })]);
});
