import { unreachable } from '../base/assert.ts';
import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import {
  type BeginKeyChange,
  type ConfirmKeyChange,
  type KeyChangeMember,
  type KeyChangeRow,
  type KeyringStep,
  keyChangeRowCodec,
  type NoteKeyChange,
  type StoredConfiguration,
} from '../proto/storage.ts';
import { plaintextOf, type Row, type RowPlace } from './row.ts';
import type { RowChanges } from './rowChanges.ts';

/** What each kind of change goes through. */
export interface KeyChangeCourse {
  /** What every member has to hold anew before it is in force, or null. */
  readonly secret: 'control' | 'jwt' | null;
  /** An operator has to have a copy of it as well. */
  readonly confirms: boolean;
  /** A keyring comes into force with it; else there is nothing to prepare. */
  readonly activates: boolean;
  /** All that lies on disk is sealed anew; afterwards what is sealed otherwise does not open any more. */
  readonly rewrites: boolean;
}

export const KEY_CHANGE_COURSES: ReadonlyMap<string, KeyChangeCourse> = new Map([
  ['rekey', { secret: 'control', confirms: true, activates: true, rewrites: true }],
  ['rotate', { secret: null, confirms: false, activates: true, rewrites: false }],
  ['rewrap', { secret: null, confirms: false, activates: false, rewrites: true }],
  ['encryption', { secret: null, confirms: false, activates: true, rewrites: true }],
  ['jwt', { secret: 'jwt', confirms: false, activates: true, rewrites: false }],
]);

/** Where in the log, when by its time, and who the members are there. */
interface At {
  readonly place: RowPlace;
  readonly timeMs: number;
  readonly configuration: StoredConfiguration;
}

export type KeyChangePhase = 'preparing' | 'rewriting' | 'finished' | 'aborted';

const NOT_COUNTED: Omit<KeyChangeMember, 'nodeId'> = {
  proved: false,
  counted: false,
  rewritten: 0,
  remaining: 0,
};

/**
 * The change of keys that is under way, or was the last one. What may happen next is decided here, at apply, against the
 * members of that index: on every node alike, whoever leads (I44).
 */
export class KeyChanges {
  readonly #changes: RowChanges;
  #row: Row | null = null;
  #current: KeyChangeRow | null = null;

  constructor(changes: RowChanges) {
    this.#changes = changes;
  }

  get current(): KeyChangeRow | null {
    return this.#current;
  }

  /** @throws HoldfastError KEY_CHANGE_PENDING */
  begin({ id, kind, encryption, source }: BeginKeyChange, at: At): void {
    if (this.#current !== null && isUnderWay(this.#current)) throw pending(this.#current);
    const phase: KeyChangePhase = courseOf(kind).activates ? 'preparing' : 'rewriting';
    this.#put(at.place, {
      id,
      kind,
      phase,
      encryption,
      newFingerprint: '',
      previousFingerprint: '',
      source,
      confirmed: false,
      members: [],
      replacedFingerprints: replacedBefore(this.#current),
      startedMs: at.timeMs,
      endedMs: 0,
    });
  }

  /** @throws HoldfastError NOT_FOUND, KEY_CHANGE_PENDING, CONTROL_KEY_MISMATCH */
  confirm({ id, newFingerprint: confirmed }: ConfirmKeyChange, place: RowPlace): void {
    const change = this.#inPhase(id, 'preparing');
    const prepared = change.newFingerprint;
    if (prepared === '') {
      throw new HoldfastError('KEY_CHANGE_PENDING', 'there is no new control key to confirm yet', {
        hint: 'wait until holdfast cluster rekey --status shows its fingerprint',
      });
    }
    if (prepared !== confirmed) {
      throw new HoldfastError(
        'CONTROL_KEY_MISMATCH',
        `the new control key is ${prepared}, and not ${confirmed}`,
        { field: 'new_fingerprint', hint: 'confirm the key that you hold a copy of, and no other' },
      );
    }
    this.#put(place, { ...change, confirmed: true });
  }

  /** @throws HoldfastError NOT_FOUND, KEY_CHANGE_PENDING once something is sealed by the new keys */
  abort(id: string, at: At): void {
    const change = this.#inPhase(id, 'preparing');
    this.#put(at.place, { ...change, phase: 'aborted', endedMs: at.timeMs });
  }

  /** @throws HoldfastError NOT_FOUND, KEY_CHANGE_PENDING */
  note(note: NoteKeyChange, { place, configuration }: At): void {
    if (note.note !== 'prepared' && !membersOf(configuration).includes(note.nodeId)) throw stranger();
    switch (note.note) {
      case 'prepared': {
        const change = this.#inPhase(note.id, 'preparing');
        const { newFingerprint, previousFingerprint } = note;
        // Whoever held an earlier one does not hold this one.
        const fingerprints = { newFingerprint, previousFingerprint };
        this.#put(place, { ...change, ...fingerprints, confirmed: false, members: [] });
        return;
      }
      case 'proved': {
        const change = this.#inPhase(note.id, 'preparing');
        if (change.newFingerprint !== note.newFingerprint) throw stale();
        this.#put(place, withMember(change, note.nodeId, { proved: true }));
        return;
      }
      case 'counted': {
        const change = this.#inPhase(note.id, 'rewriting');
        const { rewritten, remaining } = note;
        this.#put(place, withMember(change, note.nodeId, { counted: true, rewritten, remaining }));
        return;
      }
      default:
        unreachable(note.note as never, 'checked note of a key change');
    }
  }

  /** Whether a keyring comes into force at this index. */
  keyring({ changeId, step }: KeyringStep, at: At): boolean {
    const change = this.#current;
    if (change === null || change.id !== changeId) return false;
    const { place, timeMs, configuration } = at;
    if (step === 'activate') {
      if (!isReady(change, configuration)) return false;
      const rewrites = courseOf(change.kind).rewrites;
      this.#put(place, {
        ...change,
        phase: rewrites ? 'rewriting' : 'finished',
        endedMs: rewrites ? 0 : timeMs,
      });
      return true;
    }
    if (step !== 'retire' || change.phase !== 'rewriting') return false;
    if (!isClean(change, configuration)) return false;
    this.#put(place, { ...change, phase: 'finished', endedMs: timeMs });
    return true;
  }

  /**
   * Members have gone. While a new key is being given out, any of them may have been sent it, proved or not, and takes it
   * along: another one has to be made. What the others have rewritten counts as it did.
   */
  removed(nodeIds: readonly string[], place: RowPlace): void {
    const change = this.#current;
    if (change === null || nodeIds.length === 0) return;
    if (change.phase === 'preparing' && change.newFingerprint !== '') {
      this.#put(place, { ...change, newFingerprint: '', confirmed: false, members: [] });
      return;
    }
    const members = change.members.filter(({ nodeId }) => !nodeIds.includes(nodeId));
    if (isUnderWay(change) && members.length < change.members.length)
      this.#put(place, { ...change, members });
  }

  load(row: Row, encoded: Buffer): void {
    this.#row = this.#changes.loaded(row);
    this.#current = ownRow(keyChangeRowCodec.decode(plaintextOf(encoded)));
  }

  #inPhase(id: string, phase: KeyChangePhase): KeyChangeRow {
    const change = this.#current;
    if (change === null || change.id !== id || !isUnderWay(change)) {
      throw new HoldfastError('NOT_FOUND', 'this change of keys is not the one under way', {
        field: 'id',
        hint: 'see holdfast cluster rekey --status',
      });
    }
    if (change.phase !== phase) throw pending(change);
    return change;
  }

  #put(place: RowPlace, change: KeyChangeRow): void {
    if (this.#row !== null) this.#changes.drop(this.#row);
    this.#row = this.#changes.create(place, keyChangeRowCodec.encode(change));
    this.#current = change;
  }
}

export function courseOf(kind: string): KeyChangeCourse {
  return KEY_CHANGE_COURSES.get(kind) ?? unreachable(kind as never, 'checked kind of a key change');
}

export function isUnderWay({ phase }: KeyChangeRow): boolean {
  return phase === 'preparing' || phase === 'rewriting';
}

/** All members: who has a copy of what is sealed counts, learners too, and those that are about to go or come. */
export function membersOf(configuration: StoredConfiguration): readonly string[] {
  const { voters, votersOutgoing, learners, learnersNext } = configuration;
  return [...new Set([...voters, ...votersOutgoing, ...learners, ...learnersNext])];
}

/** Whether the new keys may be used: every member holds them, and an operator has a copy. */
export function isReady(change: KeyChangeRow, configuration: StoredConfiguration): boolean {
  if (change.phase !== 'preparing') return false;
  const { secret, confirms } = courseOf(change.kind);
  if (secret === null) return true;
  if (change.newFingerprint === '' || (confirms && !change.confirmed)) return false;
  return every(change, configuration, ({ proved }) => proved);
}

/** Whether no member has anything left under old keys. */
export function isClean(change: KeyChangeRow, configuration: StoredConfiguration): boolean {
  return every(change, configuration, ({ counted, remaining }) => counted && remaining === 0);
}

function every(
  { members }: KeyChangeRow,
  configuration: StoredConfiguration,
  holds: (member: KeyChangeMember) => boolean,
): boolean {
  const wanted = membersOf(configuration);
  if (wanted.length === 0) return false;
  return wanted.every((nodeId) => members.some((member) => member.nodeId === nodeId && holds(member)));
}

function withMember(
  change: KeyChangeRow,
  nodeId: string,
  news: Partial<Omit<KeyChangeMember, 'nodeId'>>,
): KeyChangeRow {
  const known = change.members.find((member) => member.nodeId === nodeId) ?? { nodeId, ...NOT_COUNTED };
  const others = change.members.filter((member) => member.nodeId !== nodeId);
  const members = [...others, { ...known, ...news }].toSorted((a, b) => (a.nodeId < b.nodeId ? -1 : 1));
  return { ...change, members };
}

function ownRow(row: KeyChangeRow): KeyChangeRow {
  const { id, kind, phase, encryption, newFingerprint, source, confirmed } = row;
  const { startedMs, endedMs, previousFingerprint, replacedFingerprints } = row;
  const members = row.members.map(({ nodeId, proved, counted, rewritten, remaining }) => ({
    nodeId,
    proved,
    counted,
    rewritten,
    remaining,
  }));
  const texts = { id, kind, phase, encryption, newFingerprint, source };
  const fingerprints = { previousFingerprint, replacedFingerprints: [...replacedFingerprints] };
  return { ...texts, confirmed, members, startedMs, endedMs, ...fingerprints };
}

function replacedBefore(before: KeyChangeRow | null): readonly string[] {
  if (before === null) return [];
  const { phase, previousFingerprint, replacedFingerprints } = before;
  const last = phase === 'finished' && previousFingerprint !== '' ? [previousFingerprint] : [];
  return [...replacedFingerprints, ...last].slice(-LIMITS.replacedKeysRemembered);
}

function stranger(): HoldfastError {
  return new HoldfastError('MEMBER_UNKNOWN', 'this node is no member', { field: 'node_id' });
}

function pending({ kind, phase }: KeyChangeRow): HoldfastError {
  return new HoldfastError('KEY_CHANGE_PENDING', `the ${kind} is ${phase}`, {
    hint: 'see holdfast cluster rekey --status',
  });
}

function stale(): HoldfastError {
  return new HoldfastError('NOT_FOUND', 'this is not the key that is being prepared', {
    field: 'new_fingerprint',
    hint: 'another one has taken its place meanwhile: see holdfast cluster rekey --status',
  });
}
