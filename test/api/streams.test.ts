import type { Client, ServiceError } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { WatchSink } from '../../src/api/ports.ts';
import { present } from '../../src/base/assert.ts';
import { HoldfastError } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import {
  type Answer,
  type Call,
  EVENT_TYPE,
  type SessionResponse,
  type WatchResponse,
} from '../../src/proto/kv.ts';
import { holdfastCode, rawClient, sessionCall, unaryCall, watchCall } from './rawClient.ts';
import { Rig, type RunningNode } from './rig.ts';
import { until } from './until.ts';

let rig: Rig;
let running: RunningNode;
let client: Client;

beforeEach(async () => {
  rig = await Rig.create();
  running = await rig.start();
  client = rawClient(running.endpoint, rig.authority, rig.clientPem);
});
afterEach(async () => {
  client.close();
  await rig.close();
});

const putRequest = (key: string) => ({ key: Buffer.from(key), value: Buffer.from('v'), previous: true });
const putCall = (id: number, timeoutMs = 0): Call => ({ id, timeoutMs, put: putRequest(`k${id}`) });
const everything = { start: Buffer.alloc(0), end: Buffer.alloc(0) };

function openSession() {
  const stream = sessionCall(client);
  const frames: SessionResponse[] = [];
  const answers: Answer[] = [];
  const ended: { error: ServiceError | null; over: boolean } = { error: null, over: false };
  stream.on('data', (frame: SessionResponse) => {
    frames.push(frame);
    answers.push(...frame.answers);
  });
  stream.on('error', (error: ServiceError) => {
    ended.error = error;
  });
  stream.on('status', () => {
    ended.over = true;
  });
  return { stream, frames, answers, ended };
}

function openWatch() {
  const stream = watchCall(client);
  const responses: WatchResponse[] = [];
  stream.on('data', (response: WatchResponse) => responses.push(response));
  stream.on('error', () => undefined);
  const create = (watchId: number, startRevision = 0) =>
    stream.write({ create: { watchId, range: everything, startRevision, previous: false, progress: false } });
  return { stream, responses, create };
}

describe('a session', () => {
  it('puts the answers of one turn into one frame', async () => {
    const { stream, frames, answers } = openSession();
    stream.write({ calls: Array.from({ length: 100 }, (_, i) => putCall(i + 1)) });
    await until(() => answers.length === 100, 'all answers');
    expect(frames).toHaveLength(1);
    expect(new Set(answers.map((answer) => answer.id)).size).toBe(100);
    stream.end();
  });

  it('answers as a unary call does', async () => {
    const { stream, answers } = openSession();
    const range = { range: everything, limit: 0, pageToken: Buffer.alloc(0) };
    const rest = { keysOnly: false, countOnly: false, revision: 0, serializable: false };
    const get = { key: Buffer.from('k'), revision: 0, serializable: false };
    const txn = {
      compares: [],
      success: [
        { put: putRequest('k') },
        { range: { range: everything, limit: 0, keysOnly: false, countOnly: false } },
      ],
      failure: [],
    };
    await unaryCall(client, { method: 'put', request: putRequest('k') });
    const calls = [
      { method: 'get', request: get },
      { method: 'range', request: { ...range, ...rest } },
      { method: 'get', request: { ...get, key: Buffer.alloc(0) } },
      { method: 'put', request: putRequest('k') },
      { method: 'txn', request: txn },
      { method: 'delete', request: { range: everything, previous: true } },
    ];
    for (const [id, call] of calls.entries()) {
      const { items, revision } = rig.state;
      const before = new Map(items);
      stream.write({ calls: [{ id, timeoutMs: 0, [call.method]: call.request } as unknown as Call] });
      await until(() => answers.length === id + 1, `answer ${id}`);
      items.clear();
      for (const [key, item] of before) items.set(key, item);
      rig.state.revision = revision;
      const alone = await unaryCall(client, call).catch((error: unknown) => error);
      const answer = answers[id] as unknown as Record<string, unknown>;
      if (alone instanceof Error) expect(answer['failure']).toMatchObject({ code: holdfastCode(alone) });
      else expect(answer[call.method]).toEqual(alone);
    }
    stream.end();
  });

  it('answers DEADLINE_EXCEEDED when the port does not answer in time', async () => {
    running.node.fail('transact', { when: 'before', error: 'never answers' });
    const { stream, answers } = openSession();
    stream.write({ calls: [putCall(1, 50), putCall(2)] });
    await until(() => answers.length === 2, 'both answers');
    expect(answers[0]?.put).toBeTruthy();
    expect(answers[1]).toMatchObject({ id: 1, failure: { code: 'DEADLINE_EXCEEDED' } });
    stream.end();
  });

  it('turns away what is over its bound of calls in flight', async () => {
    running.node.delayMs = 200;
    const { stream, answers } = openSession();
    const calls = Array.from({ length: LIMITS.sessionInFlightMax + 5 }, (_, i) => putCall(i + 1));
    stream.write({ calls });
    await until(() => answers.length === calls.length, 'all answers', 20_000);
    const refused = answers.filter((answer) => answer.failure);
    expect(refused.map((answer) => answer.failure?.code)).toEqual(Array(5).fill('OVERLOADED'));
    stream.end();
  });

  it('reads no more than a caller takes, and answers all once it does', async () => {
    const value = Buffer.alloc(1_000_000, 1);
    const item = { key: Buffer.from('k'), value, createRevision: 1, modRevision: 1, version: 1 };
    let reads = 0;
    running.node.range = async (caller) => {
      await caller.room?.(LIMITS.pageBytesMax);
      reads += 1;
      return { revision: 1, items: [item], count: 1, nextPageToken: Buffer.alloc(0) };
    };
    const { stream, answers } = openSession();
    stream.pause();
    const request = { range: everything, limit: 0, pageToken: Buffer.alloc(0) };
    const range = { ...request, keysOnly: false, countOnly: false, revision: 0, serializable: false };
    stream.write({ calls: Array.from({ length: 100 }, (_, i) => ({ id: i + 1, timeoutMs: 60_000, range })) });
    await until(() => reads > 0, 'the first reads');
    await unaryCall(client, { method: 'put', request: putRequest('k') });
    expect(reads).toBeLessThan(40);
    stream.resume();
    await until(() => answers.length === 100, 'all answers', 20_000);
    stream.end();
  });

  it('gives a late answer to nobody, whoever has its number meanwhile', async () => {
    let answer: (revision: number) => void = () => undefined;
    running.node.get = () =>
      new Promise((resolve) => {
        answer = (revision) => resolve({ revision, item: null });
      });
    const get = { key: Buffer.from('k'), revision: 0, serializable: false };
    const { stream, answers } = openSession();
    stream.write({ calls: [{ id: 1, timeoutMs: 50, get }] });
    await until(() => answers.length === 1, 'the deadline');
    const late = answer;
    stream.write({ calls: [{ id: 1, timeoutMs: 0, get }] });
    await until(() => answer !== late, 'the next call');
    late(7);
    answer(8);
    await until(() => answers.length === 2, 'its answer');
    expect(answers[1]?.get).toMatchObject({ revision: 8 });
    stream.end();
  });

  it('refuses a call without a request, and ends on an id that is in flight', async () => {
    running.node.delayMs = 100;
    const { stream, answers, ended } = openSession();
    stream.write({ calls: [{ id: 1, timeoutMs: 0 }] });
    await until(() => answers.length === 1, 'the refusal');
    expect(answers[0]?.failure).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'request' });
    stream.write({ calls: [putCall(2), putCall(2)] });
    await until(() => ended.over, 'the end of the stream');
    expect(holdfastCode(ended.error)).toBe('INVALID_ARGUMENT');
  });

  it('answers what is in flight when the caller or the node ends it', async () => {
    running.node.delayMs = 100;
    const first = openSession();
    first.stream.write({ calls: [putCall(1)] });
    first.stream.end();
    await until(() => first.ended.over, 'the end of the first stream');
    expect(first.answers).toHaveLength(1);
    expect(first.ended.error).toBeNull();
    const second = openSession();
    second.stream.write({ calls: [putCall(1)] });
    await until(() => running.node.calls === 2, 'the call');
    await rig.stop(running.server, 5_000);
    await until(() => second.ended.over, 'the end of the second stream');
    expect(second.answers).toHaveLength(1);
    expect(holdfastCode(second.ended.error)).toBe('UNAVAILABLE');
    expect(running.server.openStreams).toBe(0);
  });
});

describe('a watch stream', () => {
  it('carries several watches, each with its own number', async () => {
    const { stream, responses, create } = openWatch();
    create(1);
    create(2);
    await until(() => responses.length === 2, 'both watches');
    expect(responses.map((response) => response.created)).toEqual([true, true]);
    await unaryCall(client, { method: 'put', request: putRequest('k') });
    await until(() => responses.length === 4, 'both events');
    expect(responses.slice(2).map((response) => response.watchId)).toEqual([1, 2]);
    stream.write({ cancel: { watchId: 1 } });
    await until(() => responses.length === 5, 'the cancellation');
    expect(responses[4]).toMatchObject({ watchId: 1, cancelled: { code: 'CANCELLED' }, resumeRevision: 3 });
    await unaryCall(client, { method: 'put', request: putRequest('k') });
    await until(() => responses.length === 6, 'the last event');
    expect(responses[5]).toMatchObject({ watchId: 2, revision: 3 });
    stream.cancel();
    await until(() => rig.state.watches.size === 0, 'the node to forget the watches');
  });

  it('says `created` before what the port delivers at once', async () => {
    for (const key of ['a', 'b', 'c']) await unaryCall(client, { method: 'put', request: putRequest(key) });
    const { stream, responses, create } = openWatch();
    create(1, 2);
    await until(() => responses.length === 4, 'all events');
    expect(responses.map((response) => response.created)).toEqual([true, false, false, false]);
    expect(responses.map((response) => response.revision)).toEqual([1, 2, 3, 4]);
    stream.cancel();
  });

  it('stops delivering while the caller does not read, and loses nothing', async () => {
    const { stream, responses, create } = openWatch();
    create(1);
    await until(() => responses.length === 1, 'the watch');
    stream.pause();
    const value = Buffer.alloc(200_000, 1);
    for (let i = 0; i < 100; i += 1) {
      await running.node.transact(
        { principal: { kind: 'client', name: 'x', address: '' }, deadlineMs: 0 },
        {
          request: null,
          transaction: {
            compares: [],
            success: [{ put: { key: Buffer.from(`${i}`), value, previous: false } }],
            failure: [],
          },
        },
      );
    }
    const [watch] = [...rig.state.watches];
    await until(() => watch?.full === true, 'the port to be told to stop');
    stream.resume();
    await until(() => responses.length === 101, 'all events', 20_000);
    expect(responses.slice(1).map((response) => response.revision)).toEqual(
      Array.from({ length: 100 }, (_, i) => i + 2),
    );
    stream.cancel();
  });

  it('says that it is full to every watch on it, as long as the caller does not read', async () => {
    const sinks: WatchSink[] = [];
    let resumed = 0;
    running.node.watch = async (_caller, _request, sink) => {
      sinks.push(sink);
      return { startedAfterRevision: 0, resume: () => (resumed += 1), close: () => undefined };
    };
    const { stream, responses, create } = openWatch();
    create(1);
    create(2);
    await until(() => responses.length === 2, 'both watches');
    stream.pause();
    const [first, second] = sinks.map((sink) => present(sink, 'sink'));
    expect([first?.isFull?.(), second?.isFull?.()]).toEqual([false, false]);
    const item = { key: Buffer.from('k'), value: Buffer.alloc(500_000), createRevision: 1, modRevision: 1 };
    const events = [{ type: EVENT_TYPE.PUT, item: { ...item, version: 1 } }];
    for (let revision = 1; first?.deliver({ revision, events }) === true; revision += 1);
    expect(second?.isFull?.()).toBe(true);
    stream.resume();
    await until(() => resumed > 0, 'both to be resumed');
    expect(second?.isFull?.()).toBe(false);
    stream.cancel();
  });

  it('ends a watch that begins after the caller has cancelled it', async () => {
    let begin = (): void => undefined;
    let closed = 0;
    running.node.watch = () =>
      new Promise((resolve) => {
        const close = (): void => void (closed += 1);
        begin = () => resolve({ startedAfterRevision: 0, resume: () => undefined, close });
      });
    const { stream, responses, create } = openWatch();
    create(1, 1);
    stream.write({ cancel: { watchId: 1 } });
    await until(() => responses.length === 1, 'the end');
    expect(responses[0]).toMatchObject({ watchId: 1, cancelled: { code: 'CANCELLED' } });
    begin();
    await until(() => closed === 1, 'the watch to be closed');
    expect(responses).toHaveLength(1);
    stream.cancel();
  });

  it('passes on why a watch cannot begin or is over', async () => {
    const { stream, responses, create } = openWatch();
    rig.state.compactedRevision = 5;
    create(1, 3);
    await until(() => responses.length === 1, 'the refusal');
    expect(responses[0]).toMatchObject({ watchId: 1, cancelled: { code: 'COMPACTED' }, resumeRevision: 0 });
    create(2);
    await until(() => responses.length === 2, 'the watch');
    running.node.cancelWatches(new HoldfastError('WATCH_BEHIND', 'fake'));
    await until(() => responses.length === 3, 'the end');
    expect(responses[2]).toMatchObject({ cancelled: { code: 'WATCH_BEHIND' }, resumeRevision: 2 });
    stream.cancel();
  });
});
