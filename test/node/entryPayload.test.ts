import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { newNodeId } from '../../src/base/ids.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { SeededRandom } from '../../src/base/random.ts';
import { withToggle } from '../../src/envelope/keyring.ts';
import type { Sealer } from '../../src/envelope/sealer.ts';
import {
  keyIdOf,
  keyringPayload,
  openBatch,
  openContext,
  openForward,
  readPayload,
  sealBatch,
  sealContext,
  sealForward,
} from '../../src/node/entryPayload.ts';
import { fromReadable, toReadable } from '../../src/node/readable.ts';
import {
  type Command,
  type CommandBatch,
  commandBatchCodec,
  logPayloadCodec,
} from '../../src/proto/storage.ts';
import type { Place } from '../../src/replication/raft/types.ts';
import { keyringFor, sealerFor } from '../envelope/fixtures.ts';
import { refusalOf } from './refusal.ts';

const PLACE = { index: 7, term: 2 };
/** The batch in a payload. */
function openPayload(sealer: Sealer, payload: Uint8Array, place: Place) {
  const read = readPayload(payload, place);
  return read.kind === 'batch' ? { kind: read.kind, batch: openBatch(sealer, read.envelope, place) } : read;
}

const NODE = newNodeId(new SeededRandom(3));

/** Bytes of every kind: text, escapes, and what is no UTF-8. */
const someBytes = fc.oneof(
  fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
  fc.string({ unit: 'binary', maxLength: 20 }).map((text) => Buffer.from(text, 'utf8')),
  fc
    .constantFrom('', '\uFEFFtext', '{"text":"x"}', '\0\0\0\0', '"""\\\\', '__proto__')
    .map((text) => Buffer.from(text)),
);
const number = fc.oneof(fc.constant(0), fc.maxSafeNat(), fc.constant(Number.MAX_SAFE_INTEGER));
const text = fc.oneof(
  fc.constantFrom('', 'text', 'base64', '__proto__'),
  fc.string({ unit: 'grapheme', maxLength: 12 }),
);
const range = fc.record({ start: someBytes, end: someBytes });
const compare = fc.record({
  key: someBytes,
  relation: fc.nat(3),
  target: fc.nat(3),
  value: someBytes,
  number,
});
const operation = fc.oneof(
  fc.record({ put: fc.record({ key: someBytes, value: someBytes, previous: fc.boolean() }) }),
  fc.record({ delete: fc.record({ range, previous: fc.boolean() }) }),
  fc.record({
    range: fc.record({ range, limit: fc.nat(1_000), keysOnly: fc.boolean(), countOnly: fc.boolean() }),
  }),
);
const operations = fc.array(operation, { maxLength: 3 });
const member = fc.record({
  nodeId: text,
  name: text,
  peerAddress: text,
  apiAddress: text,
  wantedRole: fc.constantFrom('voter', 'learner'),
});
const body = fc.oneof(
  fc.record({
    transaction: fc.record({
      compares: fc.array(compare, { maxLength: 3 }),
      success: operations,
      failure: operations,
    }),
  }),
  fc.record({ registerClient: fc.constant({}) }),
  fc.record({ closeClient: fc.record({ clientId: number }) }),
  fc.record({ compact: fc.record({ revision: number }) }),
  fc.record({
    bootstrap: fc.record({ authorityCertificate: someBytes, authorityPrivateKey: someBytes, member }),
  }),
  fc.record({
    createToken: fc.record({ id: text, secretHash: someBytes, role: text, ttlMs: number }),
  }),
  fc.record({
    useToken: fc.record({ id: text, secretHash: someBytes, nodeId: text, csrKeyHash: someBytes }),
  }),
  fc.record({ advanceTime: fc.constant({}) }),
  fc.record({ revokeToken: fc.record({ id: text }) }),
  fc.record({ rotateAuthority: fc.record({ certificate: someBytes, privateKey: someBytes }) }),
  fc.record({
    switchAuthority: fc.record({ certificateHash: someBytes, confirmed: fc.array(text, { maxLength: 3 }) }),
  }),
);
const head = fc.record({
  origin: text,
  sequence: number,
  principal: fc.option(fc.record({ kind: text, name: text, address: text })),
  request: fc.option(fc.record({ clientId: number, number, floor: number })),
});
const anyCommand: fc.Arbitrary<Command> = fc
  .tuple(head, body)
  .map(([first, rest]) => ({ ...first, ...rest }));
const anyBatch: fc.Arbitrary<CommandBatch> = fc.record({
  timeMs: number,
  commands: fc.array(anyCommand, { maxLength: 4 }),
});

/** As the store sees a batch: what its bytes say. */
const stored = (batch: CommandBatch) => commandBatchCodec.encode(batch);

const BATCH: CommandBatch = {
  timeMs: 5,
  commands: [
    {
      origin: 'here',
      sequence: 1,
      principal: { kind: 'client', name: 'ada', address: '' },
      transaction: {
        compares: [],
        success: [
          { put: { key: Buffer.from('users/ada'), value: Buffer.from('a plain value'), previous: false } },
        ],
        failure: [],
      },
    },
  ],
};

describe('an entry', () => {
  it.each(['on', 'off'] as const)('gives every batch back, encryption %s', (encryption) => {
    const sealer = sealerFor(keyringFor(encryption));
    fc.assert(
      fc.property(anyBatch, (batch) => {
        const opened = openPayload(sealer, sealBatch(sealer, batch, PLACE), PLACE);
        expect(opened.kind).toBe('batch');
        if (opened.kind === 'batch') expect(stored(opened.batch).equals(stored(batch))).toBe(true);
      }),
      { numRuns: 150 },
    );
  });

  it.each(['on', 'off'] as const)('opens at its own place only, encryption %s', async (encryption) => {
    const sealer = sealerFor(keyringFor(encryption));
    const payload = sealBatch(sealer, BATCH, PLACE);
    for (const place of [
      { index: 8, term: 2 },
      { index: 7, term: 3 },
      { index: 2, term: 7 },
    ])
      expect((await refusalOf(() => openPayload(sealer, payload, place))).code).toBe('ENVELOPE_UNREADABLE');
  });

  it('shows nothing with encryption on, everything with it off', () => {
    const keyring = keyringFor('on');
    const sealed = sealBatch(sealerFor(keyring), BATCH, PLACE);
    expect(sealed.includes('users/ada')).toBe(false);
    expect(sealed.includes('plain')).toBe(false);
    const readable = sealBatch(sealerFor(withToggle(keyring, 'off')), BATCH, PLACE);
    expect(readable.toString('utf8')).toContain(
      '"put":{"key":{"text":"users/ada"},"value":{"text":"a plain value"}',
    );
  });

  it.each<[string, Partial<Command>]>([
    [
      'the private key of a CA',
      { rotateAuthority: { certificate: Buffer.from('a CA'), privateKey: Buffer.from('a secret thing') } },
    ],
    ['the hash of a password', { createUser: { name: 'ada', passwordHash: 'a secret thing', roles: [] } }],
    [
      'the secret of a webhook',
      {
        setAlerts: {
          settings: { rules: [], webhook: { url: 'https://h/', secret: Buffer.from('a secret thing') } },
        },
      },
    ],
  ])('with %s shows nothing whatever the toggle is, on its way to the leader either', (_what, body) => {
    const sealer = sealerFor(keyringFor('off'));
    const [plain] = BATCH.commands;
    const secret: Command = { origin: 'here', sequence: 2, principal: null, ...body };
    const commands = plain === undefined ? [secret] : [plain, secret];
    const forward = { nodeId: NODE, sequence: 3 };
    const sealed = [
      sealBatch(sealer, { timeMs: 5, commands }, PLACE),
      sealForward(sealer, commands, forward),
    ] as const;
    for (const bytes of sealed) {
      expect(bytes.toString('latin1')).not.toContain('a secret thing');
      expect(bytes.toString('latin1')).not.toContain('users/ada');
    }
    const opened = openPayload(sealer, sealed[0], PLACE);
    expect(opened.kind === 'batch' && stored(opened.batch)).toEqual(stored({ timeMs: 5, commands }));
    expect(openForward(sealer, sealed[1], forward)).toHaveLength(commands.length);
  });

  it('opens under the other toggle too, as long as that is allowed', async () => {
    const on = keyringFor('on');
    const off = withToggle(on, 'off');
    const sealed = sealBatch(sealerFor(on), BATCH, PLACE);
    const readable = sealBatch(sealerFor(off), BATCH, PLACE);
    expect(openPayload(sealerFor(off), sealed, PLACE)).toMatchObject({ kind: 'batch' });
    expect(openPayload(sealerFor(withToggle(off, 'on')), readable, PLACE)).toMatchObject({ kind: 'batch' });
    const refusal = await refusalOf(() => openPayload(sealerFor(on), readable, PLACE));
    expect(refusal.code).toBe('ENVELOPE_UNREADABLE');
  });

  it('carries a keyring as it is, and what it is for', () => {
    const step = { changeId: 'c', step: 'activate' };
    const read = readPayload(keyringPayload(Buffer.from('stored form'), step), PLACE);
    expect(read).toMatchObject({ kind: 'keyring', step });
    expect('stored' in read && Buffer.from(read.stored).toString()).toBe('stored form');
  });

  it('says under which key it is sealed, without being opened', () => {
    const keyring = keyringFor('on');
    const read = readPayload(sealBatch(sealerFor(keyring), BATCH, PLACE), PLACE);
    expect('envelope' in read && keyIdOf(read.envelope, PLACE)).toBe(keyring.active.id);
  });

  it.each([
    ['no group', []],
    ['another scope', [{ scope: 'team', envelope: Buffer.alloc(9) }]],
    ['two groups', [1, 2].map(() => ({ scope: 'store', envelope: Buffer.alloc(9) }))],
  ])('of a newer program is refused: %s', async (_what, groups) => {
    const payload = logPayloadCodec.encode({ groups, keyring: Buffer.alloc(0) });
    const refusal = await refusalOf(() => openPayload(sealerFor(keyringFor('on')), payload, PLACE));
    expect(refusal.code).toBe('VERSION_UNSUPPORTED');
  });
});

describe('a membership change', () => {
  it.each(['on', 'off'] as const)(
    'carries its details, bound to their place, encryption %s',
    async (toggle) => {
      const sealer = sealerFor(keyringFor(toggle));
      const joined = {
        nodeId: NODE,
        name: 'n2',
        peerAddress: 'a:1',
        apiAddress: 'a:2',
        wantedRole: 'voter',
      };
      const context = sealContext(sealer, { member: joined, timeMs: 9 }, PLACE);
      expect(openContext(sealer, context, PLACE)).toMatchObject({ member: joined, timeMs: 9 });
      const elsewhere = await refusalOf(() => openContext(sealer, context, { index: 8, term: 2 }));
      expect(elsewhere.code).toBe('ENVELOPE_UNREADABLE');
      expect(openContext(sealer, Buffer.alloc(0), PLACE)).toBeNull();
      const removal = openContext(sealer, sealContext(sealer, { member: null, timeMs: 9 }, PLACE), PLACE);
      expect(removal?.member ?? null).toBeNull();
    },
  );
});

describe('a forward', () => {
  it.each(['on', 'off'] as const)('opens for its sender and number only, encryption %s', async (toggle) => {
    const sealer = sealerFor(keyringFor(toggle));
    const from = { nodeId: NODE, sequence: 2 ** 40 };
    const envelope = sealForward(sealer, BATCH.commands, from);
    const commands = openForward(sealer, envelope, from);
    expect(stored({ timeMs: 5, commands }).equals(stored(BATCH))).toBe(true);
    const other = newNodeId(new SeededRandom(4));
    for (const wrong of [
      { ...from, sequence: 2 ** 40 + 1 },
      { ...from, nodeId: other },
    ]) {
      const refusal = await refusalOf(() => openForward(sealer, envelope, wrong));
      expect(refusal.code).toBe('ENVELOPE_UNREADABLE');
    }
  });
});

describe('the readable form', () => {
  it.each([
    ['text', Buffer.from('grüße {"a": "b"}\n'), { text: 'grüße {"a": "b"}\n' }],
    ['no UTF-8', Buffer.from([0xff]), { base64: '/w==' }],
    ['UTF-8 that JSON would make six times as long', Buffer.alloc(6), { base64: 'AAAAAAAA' }],
    ['nothing', Buffer.alloc(0), { text: '' }],
  ])('of bytes: %s', (_what, bytes, readable) => {
    expect(toReadable(bytes)).toEqual(readable);
    expect(fromReadable(readable)).toEqual(bytes);
  });

  it('of a largest request fits into a peer message, whatever is in it', () => {
    const sealer = sealerFor(keyringFor('off'));
    for (const fill of [0x00, 0x22, 0x41, 0x1b, 0xff]) {
      const value = Buffer.alloc(LIMITS.requestBytesMax, fill);
      const put = { key: Buffer.from('k'), value, previous: false };
      const commands = [
        {
          origin: '',
          sequence: 1,
          principal: null,
          transaction: { compares: [], success: [{ put }], failure: [] },
        },
      ];
      const payload = sealBatch(sealer, { timeMs: 1, commands }, PLACE);
      expect(payload.length).toBeLessThan(LIMITS.peerMessageBytesMax / 2);
    }
  });
});
