import { afterEach, beforeEach, expect, it } from 'vitest';
import type { WatchSink } from '../../src/api/ports.ts';
import { present } from '../../src/base/assert.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { keyFromBytes } from '../../src/command/keys.ts';
import type { AuditedReads, Deliverable } from '../../src/node/auditedReads.ts';
import type { Authorisation } from '../../src/node/authorisation.ts';
import { NodeKvPort } from '../../src/node/kvPort.ts';
import type { Read } from '../../src/node/read.ts';
import type { ScanTurns } from '../../src/node/scanTurns.ts';
import type { Submit } from '../../src/node/submit.ts';
import type { ValueRead } from '../../src/proto/audit.ts';
import type { Principal } from '../../src/proto/storage.ts';
import { bytes, CLIENT, command, put, StoreRig } from '../store/storeRig.ts';
import { until } from './until.ts';

/* What is delivered after the record of it was committed, when the state has moved on meanwhile. */
const NAME = 'secrets/a';
const TOKEN: Principal = { kind: 'token', name: '00000000000000a1', address: '' };

let rig: StoreRig;
let port: NodeKvPort;
let steps: string[];
/** What comes into the log before the record that is asked for next, and between it and the delivery. */
let earlier: (() => void) | null;
let later: (() => void) | null;
/** What this node has not heard of yet. */
let catchUp: (() => void) | null;
let asker: Principal;
let visible: ((name: string) => boolean) | null;

beforeEach(async () => {
  rig = await StoreRig.create();
  steps = [];
  earlier = null;
  later = null;
  visible = null;
  catchUp = null;
  asker = CLIENT;
  port = new NodeKvPort({
    store: rig.store,
    scans: {
      run: (_: unknown, page: () => unknown) => page(),
      visited: () => undefined,
    } as unknown as ScanTurns,
    read: { linearizable: () => Promise.resolve(catchUp?.()) } as unknown as Read,
    authorisation: {
      requireAuditedValue: () => Promise.resolve(),
      requireValue: () => undefined,
      visibleNow: () => visible,
      visibleThen: () => visible,
    } as unknown as Authorisation,
    submit: {} as Submit,
    auditedReads: { allow } as unknown as AuditedReads,
    refusal: () => null,
  });
});
afterEach(() => rig.destroy());

function allow(_caller: unknown, read: ValueRead): Promise<Deliverable> {
  const [before, behind] = [earlier, later];
  [earlier, later] = [null, null];
  before?.();
  const outcome = rig.apply(command({ readValues: { reads: [read] } }, asker))[0];
  const { revision, names, next } = present(outcome?.read?.reads[0], 'what may be read');
  steps.push(`record ${names.map((name) => Buffer.from(name).toString()).join(' ')}`.trim());
  behind?.();
  const until = next.length === 0 ? null : keyFromBytes(next);
  return Promise.resolve({ revision, names: new Set(names.map(keyFromBytes)), until });
}

const caller = {
  principal: { kind: 'client', name: 'ada', address: '' },
  deadlineMs: 100,
  room: (bytesMax: number) => {
    steps.push(`room ${bytesMax}`);
    return Promise.resolve();
  },
};
const auditReads = (...reads: string[]): void =>
  void rig.apply(command({ setAuditSettings: { settings: { reads, retentionMs: 0 } } }));
const get = async () => {
  const { item, revision } = await port.get(caller, { key: bytes(NAME), revision: 0, serializable: false });
  return `${revision}: ${item === null ? 'none' : String(item?.value)}`;
};
const history = async () => {
  const { versions, revision } = await port.history(caller, { key: bytes(NAME), limit: 0, keysOnly: false });
  return `${revision}: ${versions.map(({ item }) => String(item?.value)).join(' ')}`;
};
const range = async () => {
  const request = { range: { start: bytes('secrets/'), end: bytes('secrets0') }, limit: 0, keysOnly: false };
  const rest = { countOnly: false, revision: 0, serializable: false, pageToken: bytes('') };
  const { items, revision } = await port.range(caller, { ...request, ...rest });
  return `${revision}: ${items.map(({ value }) => String(value)).join(' ')}`;
};

it('room is asked for once the record stands, not while it is on its way', async () => {
  rig.run(put(NAME, 'value'));
  expect(await get()).toBe('1: value');
  expect(steps).toEqual([`record ${NAME}`, `room ${NAME.length + 5}`]);
  steps = [];
  expect(await range()).toBe('1: value');
  expect(steps).toEqual([`record ${NAME}`, `room ${LIMITS.pageBytesMax}`]);
});

it('what came into being behind the record is not delivered by it', async () => {
  rig.run(put('open', ''));
  later = () => rig.run(put(NAME, 'new'));
  expect(await get()).toBe('1: none');
  later = () => rig.run(put(NAME, 'newer'));
  expect(await history()).toBe('2: new');
  later = () => rig.run(put(NAME, 'newest'));
  expect(await get()).toBe('3: newer');
  later = () => rig.run(put('secrets/b', 'other'));
  expect(await range()).toBe('4: newest');
});

it('a page begins where its record could look, and has nothing behind that', async () => {
  const names = Array.from(
    { length: LIMITS.valueReadVisitsMax + 2 },
    (_unused, at) => `secrets/${String(at).padStart(5, '0')}`,
  );
  for (let at = 0; at < names.length; at += LIMITS.transactionOperationsMax)
    rig.run(...names.slice(at, at + LIMITS.transactionOperationsMax).map((name) => put(name, name)));
  const [last = ''] = names.slice(-1);
  const policy = {
    role: 'own',
    admin: [],
    rules: [{ path: last, capabilities: ['list', 'read', 'reveal'] }],
  };
  const token = { id: TOKEN.name, secretHash: Buffer.alloc(32), description: '', roles: ['own'], ttlMs: 0 };
  rig.apply(command({ putPolicy: { policy } }), command({ createAccessToken: token }));
  asker = TOKEN;
  visible = (name) => name === last;
  expect(await range()).toBe(`${rig.store.revision}: ${last}`);
  expect(steps.filter((step) => step.startsWith('record'))).toEqual(['record', `record ${last}`]);
});

it.each([
  ['of the past', 1, ''],
  ['from now on', 0, 'newer'],
  ['of what this node has not heard of', 2, 'newer'],
])('a watch %s is by settings that are as new as what it tells', async (_, startRevision, told) => {
  auditReads();
  rig.run(put(NAME, 'value'));
  catchUp = () => auditReads('secrets/**');
  const values: string[] = [];
  const sink: WatchSink = {
    deliver: ({ events }) => values.push(...events.map(({ item }) => String(item?.value))) > 0,
    cancelled: () => undefined,
  };
  const whole = { range: { start: bytes(''), end: bytes('') }, previous: false, progress: false };
  const watch = await port.watch(caller, { ...whole, watchId: 1, startRevision }, sink);
  if (startRevision !== 1) rig.run(put(NAME, 'newer'));
  await until(() => values.length === 1, 'what it tells');
  watch.close();
  expect(values).toEqual([told]);
});

it('a history whose name is not there at the record tells nothing of what comes', async () => {
  later = () => rig.run(put(NAME, 'new'));
  expect(await history()).toBe('0: ');
  expect(steps).toEqual(['record']);
});

it.each([
  ['get', () => get()],
  ['history', () => history()],
  ['range', () => range()],
])(
  '%s: what was not audited where the record stands, and is when it is delivered, is recorded again',
  async (_, read) => {
    rig.run(put(NAME, 'value'));
    earlier = () => auditReads();
    later = () => auditReads('secrets/**');
    expect(await read()).toBe('1: value');
    expect(steps.filter((step) => step.startsWith('record'))).toEqual(['record', `record ${NAME}`]);
  },
);

it.each([
  ['get', () => get()],
  ['history', () => history()],
  ['range', () => range()],
])('%s: what is not audited any more where the record would stand is there nevertheless', async (_, read) => {
  rig.run(put(NAME, 'value'));
  earlier = () => auditReads();
  expect(await read()).toBe('1: value');
  expect(steps.filter((step) => step.startsWith('record'))).toEqual(['record']);
});

it('what is audited and not from one moment to the next is given up in the end', async () => {
  rig.run(put(NAME, 'value'));
  const flicker = (): void => {
    earlier = () => auditReads();
    later = () => {
      auditReads('secrets/**');
      flicker();
    };
  };
  flicker();
  await expect(get()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  expect(steps.filter((step) => step.startsWith('record'))).toHaveLength(LIMITS.auditedReadAttempts);
});
