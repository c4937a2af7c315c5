import { EventEmitter } from 'node:events';
import { InvariantViolation } from '../../../src/base/assert.ts';
import { systemClock } from '../../../src/base/clock.ts';
import { silentLogger } from '../../../src/base/logger.ts';
import { SeededRandom } from '../../../src/base/random.ts';
import { peerFrameCodec, type RaftMessage } from '../../../src/proto/peer.ts';
import { entryHash, ZERO_HASH } from '../../../src/replication/raft/entryHash.ts';
import { Raft } from '../../../src/replication/raft/raft.ts';
import type { Entry, EntryType, Message } from '../../../src/replication/raft/types.ts';
import { encodeMessage } from '../../../src/replication/transport/messageCodec.ts';
import { peerServiceFor } from '../../../src/replication/transport/peerService.ts';
import { Refusals } from '../../../src/replication/transport/refusals.ts';
import { SnapshotServer } from '../../../src/replication/transport/snapshotServer.ts';
import type { RefusedMessage } from '../../../src/replication/transport/types.ts';
import { testNodeId } from './certificates.ts';
import { NO_METHODS, QUIET_GATE, STORE } from './testPeers.ts';

const [FROM, TO, THIRD] = [testNodeId(1), testNodeId(2), testNodeId(3)];
const VOTERS = [FROM, TO, THIRD];

/** What proves that this log or the leader's is damaged stops a node; nothing else may. */
const MUST_STOP = /^(?:I5|I7|I24):? /;

function entryAfter(previous: { index: number; hash: Uint8Array }, type: EntryType, payload: Buffer): Entry {
  const place = { index: previous.index + 1, term: 3 };
  return { ...place, type, payload, hash: entryHash(previous.hash, place, type, payload) };
}

const FIRST = entryAfter({ index: 0, hash: ZERO_HASH }, 'empty', Buffer.alloc(0));
const SECOND = entryAfter(FIRST, 'normal', Buffer.from('second'));
const REMOVAL = Buffer.concat([Buffer.from([1, 0, 1, 3]), Buffer.from(THIRD, 'hex'), Buffer.alloc(4)]);
const CHANGE = entryAfter(SECOND, 'configuration', REMOVAL);

const routed = { from: FROM, to: TO, term: 3 };
const append = {
  ...routed,
  type: 'append',
  previous: { index: 0, term: 0 },
  previousHash: ZERO_HASH,
} as const;

/** One of each kind, all of them possible. */
export const VALID_MESSAGES: readonly Message[] = [
  { ...append, entries: [FIRST, SECOND, CHANGE], commit: 1 },
  { ...append, previous: SECOND, previousHash: SECOND.hash, entries: [CHANGE], commit: 2 },
  { ...routed, type: 'appendResponse', index: 2, rejected: true, hint: { index: 1, term: 1 } },
  { ...routed, type: 'commit', commit: 1 },
  { ...routed, type: 'heartbeat', commit: 1, round: 4 },
  { ...routed, type: 'heartbeatResponse', round: 4 },
  { ...routed, type: 'vote', last: { index: 3, term: 2 }, transfer: true },
  { ...routed, type: 'preVote', last: { index: 3, term: 2 }, transfer: false },
  { ...routed, type: 'voteResponse', rejected: false },
  { ...routed, type: 'preVoteResponse', rejected: true },
  { ...routed, type: 'snapshotOffer', index: 9 },
  { ...routed, type: 'snapshotFailed', index: 9 },
  { ...routed, type: 'readIndex', requestId: 7 },
  { ...routed, type: 'readIndexResponse', requestId: 7, index: 3, rejected: false },
  { ...routed, type: 'timeoutNow' },
  { ...routed, type: 'transferLeader', target: TO },
];

export function frameOf(messages: readonly RaftMessage[]): Buffer {
  const forwards = [{ nodeId: FROM, sequence: 1, envelope: Buffer.from('sealed'), refused: false }];
  return peerFrameCodec.encode({ messages, wallMs: 1, forwards, address: '127.0.0.1:7441' });
}

const VALID_FRAMES = [
  ...VALID_MESSAGES.map((message) => frameOf([encodeMessage(message)])),
  frameOf(VALID_MESSAGES.map(encodeMessage)),
];

export interface FuzzCounts {
  readonly executions: number;
  /** Frames that were delivered, whole. */
  readonly delivered: number;
  /** Cores that stopped, and had to. */
  readonly stopped: number;
  readonly refused: ReadonlyMap<string, number>;
}

/** Feeds frames to a port with a real core behind it: each execution is one stream with one frame. */
export class FrameFuzz {
  readonly #refusals = new Refusals({ logger: silentLogger, clock: systemClock });
  #core = newCore();
  #steps = 0;
  #executions = 0;
  #delivered = 0;
  #stopped = 0;
  readonly #control: (call: EventEmitter) => void;

  constructor() {
    const snapshots = new SnapshotServer({ store: STORE, refusals: this.#refusals, logger: silentLogger });
    const service = peerServiceFor({
      methods: NO_METHODS,
      connection: { peerId: FROM, ownCertificate: Buffer.alloc(0), peerCertificate: Buffer.alloc(0) },
      port: { heard: () => undefined, end: () => undefined },
      gate: { ...QUIET_GATE, isOpen: true, answer: () => Promise.resolve(null) },
      nodeId: TO,
      isMember: () => true,
      receiver: () => ({
        messages: (messages) => this.#receive(messages),
        forwarded: () => undefined,
        forwardRefused: () => undefined,
        clockHeard: () => undefined,
        openSnapshot: () => Promise.reject(new Error('no snapshot')),
      }),
      snapshots,
      clock: systemClock,
      refusals: this.#refusals,
      firstWordMs: 60_000,
      onAddress: () => undefined,
      onAnnouncement: () => undefined,
      onStream: () => undefined,
    });
    this.#control = service.handlers['control'] as unknown as (call: EventEmitter) => void;
  }

  get counts(): FuzzCounts {
    return {
      executions: this.#executions,
      delivered: this.#delivered,
      stopped: this.#stopped,
      refused: this.#refusals.counts,
    };
  }

  execute(bytes: Buffer): void {
    const call = Object.assign(new EventEmitter(), { sendMetadata: () => undefined, end: () => undefined });
    this.#control(call);
    call.emit('data', bytes);
    call.emit('close');
    this.#executions += 1;
  }

  #receive(messages: readonly Message[]): readonly RefusedMessage[] {
    this.#delivered += 1;
    const refused: RefusedMessage[] = [];
    for (const message of messages) {
      // Not always a new one, so that messages meet cores in many states.
      this.#steps += 1;
      if (this.#steps % 64 === 0) this.#core = newCore();
      try {
        const reason = this.#core.step(message);
        if (reason !== null) refused.push({ type: message.type, reason });
        settle(this.#core);
      } catch (thrown) {
        if (!(thrown instanceof InvariantViolation) || !MUST_STOP.test(thrown.message)) throw thrown;
        this.#stopped += 1;
        this.#core = newCore();
      }
    }
    return refused;
  }
}

function newCore(): Raft {
  const configuration = {
    voters: VOTERS,
    votersOutgoing: [],
    learners: [],
    learnersNext: [],
    autoLeave: false,
  };
  return new Raft({
    nodeId: TO,
    electionTicksMin: 10,
    electionTicksMax: 20,
    heartbeatTicks: 1,
    random: new SeededRandom(1),
    appendBytesMax: 1_024,
    inFlightMessagesMax: 8,
    inFlightBytesMax: 8_192,
    uncommittedBytesMax: 65_536,
    pendingReadRoundsMax: 16,
    initial: {
      hardState: { term: 2, vote: null, commit: 0 },
      snapshot: { index: 0, term: 0, hash: ZERO_HASH, configuration },
      entries: [],
      applied: 0,
      configuration,
    },
  });
}

function settle(core: Raft): void {
  for (let ready = core.ready(); ready !== null; ready = core.ready()) {
    if (ready.persist !== null) core.persisted(ready.persist.sequence);
    const last = ready.committed.at(-1);
    if (last !== undefined) core.applied(last.index);
    if (ready.snapshotWanted !== null) core.snapshotFailed();
  }
}

const NUMBERS = [
  0,
  1,
  2,
  3,
  4,
  5,
  255,
  2 ** 31,
  2 ** 32,
  2 ** 32 + 4,
  2 ** 53 - 1,
  2 ** 53,
  2 ** 63,
  2 ** 64 - 2048,
];
const NUMBER_FIELDS = [
  'term',
  'index',
  'logTerm',
  'commit',
  'hintIndex',
  'hintTerm',
  'round',
  'requestId',
  'type',
] as const;

/** The next input, of four kinds: noise, valid bytes changed, valid bytes cut, valid fields with other numbers. */
export function nextInput(random: SeededRandom): Buffer {
  const kind = random.integer({ min: 0, max: 4 });
  if (kind === 0) return random.bytes(random.integer({ min: 0, max: 200 }));
  if (kind === 3) return strangeFields(random);
  const valid = VALID_FRAMES[random.integer({ min: 0, max: VALID_FRAMES.length })] ?? Buffer.alloc(0);
  if (kind === 1) return valid.subarray(0, random.integer({ min: 0, max: valid.length }));
  const bytes = Buffer.from(valid);
  for (let changes = random.integer({ min: 1, max: 5 }); changes > 0; changes -= 1) {
    bytes[random.integer({ min: 0, max: bytes.length })] = random.integer({ min: 0, max: 256 });
  }
  return bytes;
}

function strangeFields(random: SeededRandom): Buffer {
  const pick = <T>(list: readonly T[]): T | undefined => list[random.integer({ min: 0, max: list.length })];
  const wire: Record<string, unknown> = {
    ...encodeMessage(pick(VALID_MESSAGES) ?? { ...routed, type: 'timeoutNow' }),
  };
  for (let changes = random.integer({ min: 1, max: 4 }); changes > 0; changes -= 1) {
    wire[pick(NUMBER_FIELDS) ?? 'term'] = pick(NUMBERS);
  }
  if (random.integer({ min: 0, max: 4 }) === 0) wire['hash'] = random.bytes(pick([0, 31, 32, 33]) ?? 0);
  return frameOf([wire as unknown as RaftMessage]);
}

/** Every valid frame, cut after each of its bytes. */
export function* cutEverywhere(): Iterable<Buffer> {
  for (const valid of VALID_FRAMES) {
    for (let length = 0; length <= valid.length; length += 1) yield valid.subarray(0, length);
  }
}
