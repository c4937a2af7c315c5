import { unreachable } from '../../base/assert.ts';
import { asBuffer, joinBytes } from '../../base/bytes.ts';
import { HoldfastError } from '../../base/errors.ts';
import { type NodeId, parseNodeId } from '../../base/ids.ts';
import type { Configuration, ConfigurationChange, MemberChange } from './types.ts';

/*
 * Stored forms, big-endian, both with a version byte first:
 *   change         1 | u16 count | count x (u8 kind | 8 bytes node id) | u32 length | context
 *   configuration  1 | u8 autoLeave | 4 x (u16 count | count x 8 bytes node id): voters, outgoing, learners, next
 */
const VERSION = 1;
const KIND_SET_VOTER = 1;
const KIND_SET_LEARNER = 2;
const KIND_REMOVE = 3;

/** Reads fields in order; every misfit is one error, LOG_CORRUPT. */
class Reader {
  readonly #bytes: Buffer;
  #offset = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = asBuffer(bytes);
  }

  take(length: number): Buffer {
    const end = this.#offset + length;
    if (end > this.#bytes.length) throw corrupt('is cut short');
    const taken = this.#bytes.subarray(this.#offset, end);
    this.#offset = end;
    return taken;
  }

  u8(): number {
    return this.take(1).readUInt8(0);
  }

  u16(): number {
    return this.take(2).readUInt16BE(0);
  }

  u32(): number {
    return this.take(4).readUInt32BE(0);
  }

  nodeId(): NodeId {
    return parseNodeId(this.take(8).toString('hex'));
  }

  nodeIds(): NodeId[] {
    return Array.from({ length: this.u16() }, () => this.nodeId());
  }

  finish(): void {
    if (this.#offset !== this.#bytes.length) throw corrupt('has bytes after its end');
  }
}

function corrupt(what: string): HoldfastError {
  return new HoldfastError('LOG_CORRUPT', `a stored cluster configuration ${what}`, {
    hint: 'this node must be replicated anew from a healthy one',
  });
}

function checkVersion(version: number): void {
  if (version !== VERSION) {
    throw new HoldfastError('VERSION_UNSUPPORTED', `a stored cluster configuration has version ${version}`);
  }
}

function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

function kindOf(change: MemberChange): number {
  switch (change.kind) {
    case 'remove':
      return KIND_REMOVE;
    case 'set':
      return change.role === 'voter' ? KIND_SET_VOTER : KIND_SET_LEARNER;
    default:
      return unreachable(change, 'member change');
  }
}

/** The payload of a configuration entry. */
export function encodeConfigurationChange(change: ConfigurationChange): Buffer {
  const contextLength = Buffer.alloc(4);
  contextLength.writeUInt32BE(change.context.length);
  const members = change.changes.flatMap((member) => [
    Buffer.of(kindOf(member)),
    Buffer.from(member.nodeId, 'hex'),
  ]);
  return joinBytes([
    Buffer.of(VERSION),
    u16(change.changes.length),
    ...members,
    contextLength,
    change.context,
  ]);
}

function decodeMember(reader: Reader): MemberChange {
  const kind = reader.u8();
  const nodeId = reader.nodeId();
  switch (kind) {
    case KIND_SET_VOTER:
      return { kind: 'set', nodeId, role: 'voter' };
    case KIND_SET_LEARNER:
      return { kind: 'set', nodeId, role: 'learner' };
    case KIND_REMOVE:
      return { kind: 'remove', nodeId };
    default:
      throw corrupt(`has an unknown kind of change, ${kind}`);
  }
}

/** @throws HoldfastError LOG_CORRUPT, VERSION_UNSUPPORTED */
export function decodeConfigurationChange(bytes: Uint8Array): ConfigurationChange {
  const reader = new Reader(bytes);
  checkVersion(reader.u8());
  const changes = Array.from({ length: reader.u16() }, () => decodeMember(reader));
  const context = Buffer.from(reader.take(reader.u32()));
  reader.finish();
  return { changes, context };
}

/** The stored form of a whole configuration, for snapshots and the WAL. */
export function encodeConfiguration(configuration: Configuration): Buffer {
  const { voters, votersOutgoing, learners, learnersNext, autoLeave } = configuration;
  const lists = [voters, votersOutgoing, learners, learnersNext].flatMap((list) => [
    u16(list.length),
    ...list.map((nodeId) => Buffer.from(nodeId, 'hex')),
  ]);
  return joinBytes([Buffer.of(VERSION, autoLeave ? 1 : 0), ...lists]);
}

/** @throws HoldfastError LOG_CORRUPT, VERSION_UNSUPPORTED */
export function decodeConfiguration(bytes: Uint8Array): Configuration {
  const reader = new Reader(bytes);
  checkVersion(reader.u8());
  const autoLeave = reader.u8();
  if (autoLeave > 1) throw corrupt('has a flag that is neither 0 nor 1');
  const voters = reader.nodeIds();
  const votersOutgoing = reader.nodeIds();
  const learners = reader.nodeIds();
  const learnersNext = reader.nodeIds();
  reader.finish();
  return { voters, votersOutgoing, learners, learnersNext, autoLeave: autoLeave === 1 };
}
