import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { NoteKeyChange, Outcome, StoredConfiguration } from '../../src/proto/storage.ts';
import { command, NODE, placeAt, StoreRig } from './storeRig.ts';

const [A, B, C] = ['000000000000000a', '000000000000000b', '000000000000000c'];
const FINGERPRINT = `sha256:${'1'.repeat(64)}`;
const OTHER = `sha256:${'2'.repeat(64)}`;
const PREVIOUS = `sha256:${'0'.repeat(64)}`;
const DONE = { done: {} };

let rig: StoreRig;
beforeEach(async () => {
  rig = await StoreRig.create();
  configure({ voters: [A, B], learners: [C] });
});
afterEach(async () => {
  const { digest, keyChange } = rig.store;
  await rig.reopen();
  expect(rig.store.digest).toEqual(digest);
  expect(rig.store.keyChange).toEqual(keyChange);
  await rig.destroy();
});

function configure(
  {
    voters = [],
    learners = [],
  }: { voters?: readonly (string | undefined)[]; learners?: readonly (string | undefined)[] },
  removed: readonly (string | undefined)[] = [],
): void {
  const ids = (list: readonly (string | undefined)[]): string[] => list.map((id) => id ?? '');
  const configuration: StoredConfiguration = {
    voters: ids(voters),
    votersOutgoing: [],
    learners: ids(learners),
    learnersNext: [],
    autoLeave: false,
  };
  const place = placeAt(rig.store.applied.index + 1);
  rig.store.apply({
    kind: 'configuration',
    place,
    configuration,
    removed: ids(removed),
    member: null,
    timeMs: rig.timeMs,
  });
}

const begin = (kind: string, id = 'one', encryption = ''): Outcome =>
  rig.apply(
    command({
      beginKeyChange: { id, kind, encryption, source: ['rekey', 'jwt'].includes(kind) ? 'file' : '' },
    }),
  )[0] as Outcome;

function note(change: Partial<NoteKeyChange>): Outcome {
  const noteKeyChange: NoteKeyChange = {
    id: 'one',
    note: '',
    newFingerprint: '',
    previousFingerprint: '',
    nodeId: '',
    rewritten: 0,
    remaining: 0,
    ...change,
  };
  return rig.apply(command({ noteKeyChange }, NODE))[0] as Outcome;
}

const prepared = (fingerprint = FINGERPRINT): Outcome =>
  note({ note: 'prepared', newFingerprint: fingerprint, previousFingerprint: PREVIOUS });
const proved = (nodeId = '', fingerprint = FINGERPRINT): Outcome =>
  note({ note: 'proved', nodeId, newFingerprint: fingerprint });
const counted = (nodeId = '', remaining = 0): Outcome =>
  note({ note: 'counted', nodeId, rewritten: 5, remaining });
const confirm = (newFingerprint = FINGERPRINT): Outcome =>
  rig.apply(command({ confirmKeyChange: { id: 'one', newFingerprint } }))[0] as Outcome;
const abort = (): Outcome => rig.apply(command({ abortKeyChange: { id: 'one' } }))[0] as Outcome;

function keyring(step: string, changeId = 'one'): boolean {
  const place = placeAt(rig.store.applied.index + 1);
  return rig.store.apply({ kind: 'keyring', place, step: { changeId, step } }).accepted;
}

const codeOf = (outcome: Outcome): string => outcome.failure?.code ?? 'done';
const phase = (): string => rig.store.keyChange?.phase ?? 'none';

describe('a rekey', () => {
  it('is activated only when every member, learners too, has proved the key, and an operator holds a copy', () => {
    expect(begin('rekey')).toMatchObject(DONE);
    expect(keyring('activate')).toBe(false);
    prepared();
    for (const nodeId of [A, B]) expect(proved(nodeId)).toMatchObject(DONE);
    expect(keyring('activate')).toBe(false);
    expect(confirm()).toMatchObject(DONE);
    expect(keyring('activate')).toBe(false);
    proved(C);
    expect(keyring('activate', 'another')).toBe(false);
    expect(phase()).toBe('preparing');
    expect(keyring('activate')).toBe(true);
    expect(phase()).toBe('rewriting');
    expect(keyring('activate')).toBe(false);
  });

  it('is not activated without a copy of the key, whoever has proved it', () => {
    begin('rekey');
    prepared();
    for (const nodeId of [A, B, C]) proved(nodeId);
    expect(keyring('activate')).toBe(false);
    expect(codeOf(confirm(OTHER))).toBe('CONTROL_KEY_MISMATCH');
    expect(keyring('activate')).toBe(false);
  });

  it('is not activated by what members have proved of another key', () => {
    begin('rekey');
    prepared(OTHER);
    for (const nodeId of [A, B, C]) proved(nodeId, OTHER);
    prepared();
    confirm();
    expect(rig.store.keyChange?.members).toEqual([]);
    expect(keyring('activate')).toBe(false);
  });

  function activated(): void {
    begin('rekey');
    prepared();
    for (const nodeId of [A, B, C]) proved(nodeId);
    confirm();
    expect(keyring('activate')).toBe(true);
  }

  it('retires the old keys only when every member has counted none', () => {
    activated();
    expect(keyring('retire')).toBe(false);
    counted(A);
    counted(B);
    expect(keyring('retire')).toBe(false);
    counted(C, 3);
    expect(keyring('retire')).toBe(false);
    counted(C);
    // A member that came later has something to count too.
    configure({ voters: [A, B], learners: [C, '000000000000000d'] });
    expect(keyring('retire')).toBe(false);
    configure({ voters: [A, B], learners: [C] }, ['000000000000000d']);
    // One that has taken a whole state from another begins to count anew.
    counted(B, 7);
    expect(keyring('retire')).toBe(false);
    counted(B);
    expect(keyring('retire')).toBe(true);
    expect(phase()).toBe('finished');
    expect(keyring('retire')).toBe(false);
  });

  it('goes on without a member that is removed while all is rewritten', () => {
    activated();
    counted(A);
    counted(B);
    configure({ voters: [A, B] }, [C]);
    expect(keyring('retire')).toBe(true);
  });

  it('makes another key when a member takes the prepared one along', () => {
    begin('rekey');
    prepared();
    proved(A);
    proved(C);
    confirm();
    configure({ voters: [A, B] }, [C]);
    expect(rig.store.keyChange).toMatchObject({ newFingerprint: '', confirmed: false, members: [] });
    expect(codeOf(confirm())).toBe('KEY_CHANGE_PENDING');
    prepared(OTHER);
    // What was proved of the first one comes late.
    expect(codeOf(proved(A))).toBe('NOT_FOUND');
    for (const nodeId of [A, B]) proved(nodeId, OTHER);
    expect(keyring('activate')).toBe(false);
    confirm(OTHER);
    expect(keyring('activate')).toBe(true);
  });

  it('makes another key when a member goes that may have been sent it, and has not said so', () => {
    begin('rekey');
    prepared();
    proved(A);
    proved(B);
    confirm();
    configure({ voters: [A, B] }, [C]);
    expect(rig.store.keyChange).toMatchObject({ newFingerprint: '', confirmed: false, members: [] });
    expect(keyring('activate')).toBe(false);
  });

  it('takes the word of members only', () => {
    begin('rekey');
    prepared();
    for (const nodeId of [A, B, C]) proved(nodeId);
    expect(codeOf(proved('000000000000000d'))).toBe('MEMBER_UNKNOWN');
    confirm();
    keyring('activate');
    expect(codeOf(counted('000000000000000d'))).toBe('MEMBER_UNKNOWN');
    expect(rig.store.keyChange?.members.map(({ nodeId }) => nodeId)).toEqual([A, B, C]);
  });

  it('leaves what it has replaced to the next change, for members that were down', () => {
    activated();
    for (const nodeId of [A, B, C]) counted(nodeId);
    keyring('retire');
    expect(begin('jwt', 'two')).toMatchObject(DONE);
    expect(rig.store.keyChange?.replacedFingerprints).toEqual([PREVIOUS]);
    rig.apply(command({ abortKeyChange: { id: 'two' } }));
    begin('rotate', 'three');
    expect(rig.store.keyChange?.replacedFingerprints).toEqual([PREVIOUS]);
  });

  it('is not disturbed by a member that goes before there is a key', () => {
    begin('rekey');
    configure({ voters: [A, B] }, [C]);
    prepared();
    for (const nodeId of [A, B]) proved(nodeId);
    confirm();
    expect(keyring('activate')).toBe(true);
  });

  it('can be aborted until it is activated, and begun again', () => {
    begin('rekey');
    prepared();
    expect(abort()).toMatchObject(DONE);
    expect(phase()).toBe('aborted');
    for (const nodeId of [A, B, C]) expect(codeOf(proved(nodeId))).toBe('NOT_FOUND');
    expect(keyring('activate')).toBe(false);
    expect(begin('rekey', 'two')).toMatchObject(DONE);
    expect(codeOf(abort())).toBe('NOT_FOUND');
  });

  it('cannot be aborted afterwards', () => {
    activated();
    expect(codeOf(abort())).toBe('KEY_CHANGE_PENDING');
    expect(phase()).toBe('rewriting');
  });

  it('is one at a time', () => {
    begin('rekey');
    for (const kind of ['rekey', 'rotate', 'rewrap'])
      expect(codeOf(begin(kind, 'two'))).toBe('KEY_CHANGE_PENDING');
    expect(rig.store.keyChange?.id).toBe('one');
  });
});

describe('the other changes', () => {
  it('rotate: a new data key, and no more', () => {
    begin('rotate');
    expect(keyring('retire')).toBe(false);
    expect(keyring('activate')).toBe(true);
    expect(phase()).toBe('finished');
  });

  it('rewrap: nothing to prepare, and old keys go when nobody has anything under them', () => {
    begin('rewrap');
    expect(phase()).toBe('rewriting');
    expect(keyring('activate')).toBe(false);
    for (const nodeId of [A, B, C]) counted(nodeId);
    expect(keyring('retire')).toBe(true);
  });

  it('jwt: a new JWT secret that every member holds; nothing is sealed by it', () => {
    begin('jwt');
    prepared();
    for (const nodeId of [A, B]) proved(nodeId);
    expect(keyring('activate')).toBe(false);
    proved(C);
    expect(keyring('activate')).toBe(true);
    expect(phase()).toBe('finished');
  });

  it('encryption: the toggle, and all is rewritten; no key goes', () => {
    begin('encryption', 'one', 'off');
    expect(keyring('activate')).toBe(true);
    expect(keyring('retire')).toBe(false);
    for (const nodeId of [A, B, C]) counted(nodeId);
    expect(keyring('retire')).toBe(true);
    expect(phase()).toBe('finished');
  });
});

describe('what is refused', () => {
  it.each([
    ['a kind that is not known', { kind: 'reset' }, 'kind'],
    ['a toggle where there is none', { encryption: 'on' }, 'encryption'],
    ['no toggle', { kind: 'encryption', source: '' }, 'encryption'],
    ['no source', { source: '' }, 'source'],
    ['a source where there is none', { kind: 'rotate' }, 'source'],
    ['no id', { id: '' }, 'id'],
  ])('%s', (_what, change, field) => {
    const beginKeyChange = { kind: 'rekey', id: 'one', encryption: '', source: 'file', ...change };
    expect(rig.apply(command({ beginKeyChange }))[0]?.failure).toMatchObject({
      code: 'INVALID_ARGUMENT',
      field,
    });
    expect(rig.store.keyChange).toBeNull();
  });

  it.each<[string, Partial<NoteKeyChange>]>([
    ['no fingerprint', { note: 'prepared', previousFingerprint: PREVIOUS }],
    ['no previous fingerprint', { note: 'prepared', newFingerprint: FINGERPRINT }],
    ['no node', { note: 'proved', newFingerprint: FINGERPRINT }],
    ['a note that is none', { note: 'thought' }],
  ])('a note with %s', (_what, change) => {
    begin('rekey');
    expect(codeOf(note(change))).toBe('INVALID_ARGUMENT');
  });

  it('a note of a client, and a change begun by a node', () => {
    begin('rekey');
    const noteKeyChange = {
      id: 'one',
      note: 'counted',
      newFingerprint: '',
      previousFingerprint: '',
      nodeId: A,
      rewritten: 0,
      remaining: 0,
    };
    expect(rig.apply(command({ noteKeyChange }))[0]?.failure?.code).toBe('PERMISSION_DENIED');
    const two = { id: 'two', kind: 'rotate', encryption: '', source: '' };
    expect(rig.apply(command({ beginKeyChange: two }, NODE))[0]?.failure?.code).toBe('PERMISSION_DENIED');
  });
});
