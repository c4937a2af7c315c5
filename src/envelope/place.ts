import { unreachable } from '../base/assert.ts';
import { writeU64 } from '../base/bytes.ts';
import type { LogIndex, NodeId, Term } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';

/**
 * Where an envelope belongs. It is bound into the tag, so an envelope that was swapped, moved or is older than
 * its place does not open. A place is never used twice for different content. All numbers are safe integers >= 0.
 */
export type EnvelopePlace =
  /** An entry of the replicated log. */
  | { readonly kind: 'entry'; readonly term: Term; readonly index: LogIndex }
  /**
   * A row of the state. `table` is one printable ASCII character. For keys `number.sub` is the revision and its
   * sub-number, for every other table the log index and a sub-number.
   */
  | { readonly kind: 'row'; readonly table: string; readonly number: number; readonly sub: number }
  /** A batch that a follower hands to the leader; `sequence` counts within the sending node's life. */
  | { readonly kind: 'forward'; readonly nodeId: NodeId; readonly sequence: number }
  /** A file of its own: a node's private key, a part of a snapshot. `name` has 1 to LIMITS.nameBytesMax bytes. */
  | { readonly kind: 'file'; readonly name: string; readonly generation: number };

/** First byte of the canonical form. Part of the stored format: never renumber. */
const KIND_BYTE = { entry: 1, row: 2, forward: 3, file: 4 } as const satisfies Record<
  EnvelopePlace['kind'],
  number
>;

/** Room that the canonical bytes of any place fit into. */
export const PLACE_BYTES_MAX = 1 + 8 + LIMITS.nameBytesMax;

const NODE_ID_PATTERN = /^[0-9a-f]{16}$/;
const LONE_SURROGATE = /\p{Surrogate}/u;

/** The first reason why this is no place, or null. */
export function placeProblem(place: EnvelopePlace): string | null {
  switch (place.kind) {
    case 'entry':
      return isCount(place.term) && isCount(place.index) ? null : 'term and index must be counts';
    case 'row':
      if (!isTable(place.table)) return 'a table is one printable ASCII character';
      return isCount(place.number) && isCount(place.sub) ? null : 'number and sub must be counts';
    case 'forward':
      if (!NODE_ID_PATTERN.test(place.nodeId)) return 'a node id is 16 lower-case hex digits';
      return isCount(place.sequence) ? null : 'sequence must be a count';
    case 'file':
      if (!isFileName(place.name)) return 'a name has 1 to 256 bytes of well-formed text';
      return isCount(place.generation) ? null : 'generation must be a count';
    default:
      return unreachable(place, 'envelope place');
  }
}

/**
 * Writes the canonical bytes of a place and returns their length. No two places have the same bytes.
 * The place must have no placeProblem, and `target` room for PLACE_BYTES_MAX bytes at `offset`.
 */
export function writePlace(target: Buffer, place: EnvelopePlace, offset: number): number {
  target[offset] = KIND_BYTE[place.kind];
  const body = offset + 1;
  switch (place.kind) {
    case 'entry':
      writeU64(target, place.term, body);
      writeU64(target, place.index, body + 8);
      return 17;
    case 'row':
      target[body] = place.table.charCodeAt(0);
      writeU64(target, place.number, body + 1);
      writeU64(target, place.sub, body + 9);
      return 18;
    case 'forward':
      target.write(place.nodeId, body, 'hex');
      writeU64(target, place.sequence, body + 8);
      return 17;
    case 'file':
      writeU64(target, place.generation, body);
      return 9 + target.write(place.name, body + 8, 'utf8');
    default:
      return unreachable(place, 'envelope place');
  }
}

/** The place in words, for messages. */
export function describePlace(place: EnvelopePlace): string {
  switch (place.kind) {
    case 'entry':
      return `entry ${place.index} of term ${place.term}`;
    case 'row':
      return `row ${place.number}.${place.sub} of table ${place.table}`;
    case 'forward':
      return `forwarded batch ${place.sequence} of node ${place.nodeId}`;
    case 'file':
      return `file ${place.name}, generation ${place.generation}`;
    default:
      return unreachable(place, 'envelope place');
  }
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

function isTable(table: string): boolean {
  const code = table.charCodeAt(0);
  return table.length === 1 && code > 0x20 && code < 0x7f;
}

function isFileName(name: string): boolean {
  // A lone surrogate would be written as U+FFFD, and two names would then have the same bytes.
  return name.length > 0 && Buffer.byteLength(name) <= LIMITS.nameBytesMax && !LONE_SURROGATE.test(name);
}
