import { expect, it } from 'vitest';
import { ManualClock } from '../../../src/base/clock.ts';
import { systemRandom } from '../../../src/base/random.ts';
import type { ControlKey } from '../../../src/envelope/controlKey.ts';
import { KeyChangeDriver, type KeyChangeDriverParts } from '../../../src/node/keyChange/keyChangeDriver.ts';
import type { NoteKeyChange } from '../../../src/proto/storage.ts';
import { controlKeyOf } from '../../envelope/fixtures.ts';

const [IN_FORCE, REPLACED, NEW, OTHER] = [2, 1, 3, 4].map(controlKeyOf) as [
  ControlKey,
  ControlKey,
  ControlKey,
  ControlKey,
];

/** A leader whose operator has provided these keys, in a rekey that has just begun. */
async function stepWith(held: readonly ReturnType<typeof controlKeyOf>[]) {
  const notes: NoteKeyChange[] = [];
  const parts = {
    nodeId: 'n1',
    isLeader: () => true,
    change: () => ({
      id: 'c1',
      kind: 'rekey',
      phase: 'preparing',
      source: 'environment',
      newFingerprint: '',
      members: [],
    }),
    configuration: () => ({
      voters: ['n1'],
      votersOutgoing: [],
      learners: [],
      learnersNext: [],
      autoLeave: false,
    }),
    nameOf: (nodeId: string) => nodeId,
    controlKeys: { all: held },
    keyring: { controlKey: IN_FORCE, keyring: { replacedControlKeys: [REPLACED.fingerprint] } },
    keeper: { held: () => ({ findStored: () => null }), inForce: () => IN_FORCE.fingerprint },
    note: (note: NoteKeyChange) => Promise.resolve(void notes.push(note)),
    clock: new ManualClock(),
    random: systemRandom,
  } as unknown as KeyChangeDriverParts;
  const driver = new KeyChangeDriver(parts);
  await driver.step();
  return { fingerprints: notes.map(({ newFingerprint }) => newFingerprint), problems: driver.problems };
}

it('the key that was provided first is the new one, whatever else is held', async () => {
  expect(await stepWith([NEW, OTHER, IN_FORCE, REPLACED])).toEqual({
    fingerprints: [NEW.fingerprint],
    problems: [],
  });
});

it.each([
  ['is in force', IN_FORCE],
  ['was replaced before', REPLACED],
])('a key that %s is no new one, and no other that is held comes in its place', async (_what, first) => {
  const { fingerprints, problems } = await stepWith([first, NEW, OTHER]);
  expect(fingerprints).toEqual([]);
  expect(problems).toMatchObject([
    {
      nodeId: 'n1',
      code: 'CONTROL_KEY_MISMATCH',
      reason: 'the control key that the leader was started with is the one in force, or was replaced before',
    },
  ]);
});
