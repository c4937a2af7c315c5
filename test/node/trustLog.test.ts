import { beforeEach, describe, expect, it } from 'vitest';
import { ManualClock } from '../../src/base/clock.ts';
import { HoldfastError } from '../../src/base/errors.ts';
import { newNodeId } from '../../src/base/ids.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { silentLogger } from '../../src/base/logger.ts';
import { systemRandom } from '../../src/base/random.ts';
import type { Denial } from '../../src/node/denials.ts';
import { Fencing } from '../../src/node/fencing.ts';
import { TrustLog } from '../../src/node/trustLog.ts';
import type { TrustEvent } from '../../src/trust/trustEvent.ts';
import { newCluster, newNode } from '../trust/cluster.ts';

const KEY_MISMATCH = new HoldfastError('CONTROL_KEY_MISMATCH', 'the other node has another', {
  hint: 'Give it.',
});

it('what is refused to strangers is one line a minute for each kind, however often they ask', () => {
  const lines: object[] = [];
  const clock = new ManualClock();
  const noted: Denial[] = [];
  const logger = { ...silentLogger, warn: (fields: object) => void lines.push(fields) };
  const log = new TrustLog({ logger, clock, note: (denial) => void noted.push(denial) });
  for (let time = 0; time < 1_000; time += 1) log.record({ kind: 'joinRefused', error: KEY_MISMATCH });
  expect(lines).toMatchObject([{ code: 'CONTROL_KEY_MISMATCH', count: 1 }]);
  clock.advance(LIMITS.rareLineIntervalMs);
  log.record({ kind: 'joinRefused', error: KEY_MISMATCH });
  expect(lines).toMatchObject([{ count: 1 }, { count: 1_001 }]);
  // Each is told to those who bound what becomes of it.
  expect(noted).toHaveLength(1_001);
  expect(noted[0]).toEqual({
    principal: { kind: '', name: '', address: '' },
    action: 'member.refused',
    resource: Buffer.alloc(0),
    code: 'CONTROL_KEY_MISMATCH',
    detail: '',
    proved: false,
  });
});

it('a member that is fenced is noted by its id, with the code and the field', () => {
  const noted: Denial[] = [];
  const note = (denial: Denial) => void noted.push(denial);
  const log = new TrustLog({ logger: silentLogger, clock: new ManualClock(), note });
  const nodeId = newNodeId(systemRandom);
  const error = new HoldfastError('JWT_SECRET_MISMATCH', 'another', { field: 'jwt_secret' });
  log.record({ kind: 'fenced', nodeId, error });
  log.record({ kind: 'unfenced', nodeId });
  const principal = { kind: 'node', name: nodeId, address: '' };
  const resource = Buffer.from(nodeId);
  expect(noted).toEqual([
    {
      principal,
      action: 'member.fenced',
      resource,
      code: 'JWT_SECRET_MISMATCH',
      detail: 'jwt_secret',
      proved: true,
    },
  ]);
});

it('a certificate is written down with the names in it, when it is issued and when it is renewed', async () => {
  const lines: object[] = [];
  const logger = { ...silentLogger, info: (fields: object) => void lines.push(fields) };
  const log = new TrustLog({ logger, clock: new ManualClock(), note: () => undefined });
  const { nodeId, certificate } = await newNode(await newCluster(), { hosts: ['n3.example', '10.0.0.3'] });
  log.record({ kind: 'renewed', nodeId, certificate });
  log.record({ kind: 'joined', nodeId, tokenId: 't', role: 'voter', hosts: ['n3.example'] });
  const names = expect.stringMatching(/DNS:n3\.example, IP Address:10\.0\.0\.3/) as string;
  expect(lines).toMatchObject([
    { nodeId, names },
    { nodeId, hosts: ['n3.example'] },
  ]);
});

describe('what a node says that has proved nothing', () => {
  const events: TrustEvent[] = [];
  const clock = new ManualClock();
  const record = (event: TrustEvent) => void events.push(event);
  const fencing = new Fencing({ record, nameOf: () => 'n3', isRemoved: () => false, clock });
  const nodeId = newNodeId(systemRandom);
  beforeEach(() => {
    events.splice(0);
    clock.advance(LIMITS.rareLineIntervalMs);
    fencing.proved(nodeId);
    events.splice(0);
  });

  it('makes no line for each other value that it claims, and is shown as it was last', () => {
    for (let attempt = 0; attempt < 1_000; attempt += 1) {
      clock.advance(1_000);
      fencing.refused(nodeId, new HoldfastError('CONTROL_KEY_MISMATCH', `it claims ${attempt}`));
    }
    expect(events.map(({ kind }) => kind)).toEqual(['fenced']);
    expect(fencing.members).toMatchObject([{ error: { message: 'it claims 999' } }]);
  });

  it('makes a line a minute whatever else it says, and the last reason comes to be told', () => {
    const CODES = ['CONTROL_KEY_MISMATCH', 'JWT_SECRET_MISMATCH', 'NODE_ID_REUSED'] as const;
    const attempts = (LIMITS.rareLineIntervalMs / 1_000) * 5;
    for (let attempt = 0; attempt < attempts; attempt += 1) {
      fencing.refused(nodeId, new HoldfastError(CODES[attempt % 3] ?? 'INTERNAL', 'another'));
      clock.advance(1_000);
    }
    expect(events).toHaveLength(5);
    for (let attempt = 0; attempt < 60; attempt += 1) {
      fencing.refused(nodeId, new HoldfastError('ENCRYPTION_MISMATCH', 'another'));
      clock.advance(1_000);
    }
    expect(events.at(-1)).toMatchObject({ error: { code: 'ENCRYPTION_MISMATCH' } });
  });

  it('and the node itself, which proves it in between, make two lines a minute: that it is, and that it is over', () => {
    for (let attempt = 0; attempt < 59; attempt += 1) {
      fencing.refused(nodeId, KEY_MISMATCH);
      fencing.proved(nodeId);
      clock.advance(1_000);
    }
    expect(events.map(({ kind }) => kind)).toEqual(['fenced', 'unfenced']);
    clock.advance(1_000);
    fencing.refused(nodeId, KEY_MISMATCH);
    fencing.proved(nodeId);
    expect(events).toHaveLength(4);
  });

  it('is another reason when it is about another field', () => {
    fencing.refused(nodeId, new HoldfastError('CLUSTER_MISMATCH', 'it', { field: 'cluster_id' }));
    clock.advance(LIMITS.rareLineIntervalMs);
    fencing.refused(nodeId, new HoldfastError('CLUSTER_MISMATCH', 'it', { field: 'store_id' }));
    expect(events).toHaveLength(2);
  });
});

it('a fenced member is recorded once per change, listed with why, and over with the next proof', () => {
  const events: TrustEvent[] = [];
  const removed = new Set<string>();
  const clock = new ManualClock();
  const fencing = new Fencing({
    record: (event) => events.push(event),
    nameOf: () => 'n3',
    isRemoved: (nodeId) => removed.has(nodeId),
    clock,
  });
  const nodeId = newNodeId(systemRandom);
  for (let attempt = 0; attempt < 100; attempt += 1) fencing.refused(nodeId, KEY_MISMATCH);
  expect(events.map(({ kind }) => kind)).toEqual(['fenced']);
  expect(fencing.members).toMatchObject([{ nodeId, error: KEY_MISMATCH, sinceMs: clock.wallMs() }]);
  expect(fencing.warnings).toEqual([
    'n3 is fenced, CONTROL_KEY_MISMATCH: the other node has another. Give it.',
  ]);
  clock.advance(LIMITS.rareLineIntervalMs);
  fencing.refused(nodeId, new HoldfastError('JWT_SECRET_MISMATCH', 'another secret'));
  expect(events.map(({ kind }) => kind)).toEqual(['fenced', 'fenced']);
  removed.add(nodeId);
  expect(fencing.warnings).toEqual([]);
  fencing.proved(nodeId);
  fencing.proved(nodeId);
  expect(events.map(({ kind }) => kind)).toEqual(['fenced', 'fenced', 'unfenced']);
});

it('a second process of a member is listed as long as it asks, however often the first one proves itself', () => {
  const events: TrustEvent[] = [];
  const clock = new ManualClock();
  const record = (event: TrustEvent) => void events.push(event);
  const fencing = new Fencing({ record, nameOf: () => 'n3', isRemoved: () => false, clock });
  const nodeId = newNodeId(systemRandom);
  const copy = new HoldfastError('NODE_ID_REUSED', 'two processes');
  const asksFor = (ms: number) => {
    for (const over = clock.monotonicMs() + ms; clock.monotonicMs() < over; clock.advance(1_000))
      fencing.refused(nodeId, copy);
  };
  asksFor(LIMITS.fencedCopyMs * 3);
  expect(fencing.members).toHaveLength(1);
  expect(events).toHaveLength(1);
  fencing.proved(nodeId);
  expect(fencing.members).toHaveLength(1);
  asksFor(1_000);
  expect(events).toHaveLength(1);
  clock.advance(LIMITS.fencedCopyMs);
  expect(fencing.members).toEqual([]);
  fencing.proved(nodeId);
  fencing.proved(nodeId);
  expect(events.map(({ kind }) => kind)).toEqual(['fenced', 'unfenced']);
  asksFor(LIMITS.rareLineIntervalMs);
  expect(events.map(({ kind }) => kind)).toEqual(['fenced', 'unfenced', 'fenced']);
});

it('a second process of a member is listed beside what else is found of the node', () => {
  const clock = new ManualClock();
  const parts = { record: () => undefined, nameOf: () => 'n3', isRemoved: () => false, clock };
  const fencing = new Fencing(parts);
  const nodeId = newNodeId(systemRandom);
  fencing.refused(nodeId, new HoldfastError('NODE_ID_REUSED', 'two processes'));
  fencing.refused(nodeId, KEY_MISMATCH);
  expect(fencing.members.map(({ error }) => error.code)).toEqual(['CONTROL_KEY_MISMATCH', 'NODE_ID_REUSED']);
  fencing.proved(nodeId);
  expect(fencing.members.map(({ error }) => error.code)).toEqual(['NODE_ID_REUSED']);
});
