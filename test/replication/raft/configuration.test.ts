import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  applyConfigurationChange,
  checkConfiguration,
  enterJoint,
  leaveJoint,
  NO_CONFIGURATION,
} from '../../../src/replication/raft/configuration.ts';
import {
  decodeConfiguration,
  decodeConfigurationChange,
  encodeConfiguration,
  encodeConfigurationChange,
} from '../../../src/replication/raft/configurationCodec.ts';
import type { Configuration, MemberChange } from '../../../src/replication/raft/types.ts';
import { configurationOf, nodeId } from './cluster.ts';

const voter = (number: number): MemberChange => ({ kind: 'set', nodeId: nodeId(number), role: 'voter' });
const learner = (number: number): MemberChange => ({ kind: 'set', nodeId: nodeId(number), role: 'learner' });
const remove = (number: number): MemberChange => ({ kind: 'remove', nodeId: nodeId(number) });
const nodes = (...numbers: number[]) => numbers.map(nodeId);

const joint: Configuration = {
  voters: nodes(1, 2),
  votersOutgoing: nodes(1, 2, 3),
  learners: nodes(4),
  learnersNext: nodes(3),
  autoLeave: true,
};

describe('checkConfiguration (invariant 18)', () => {
  const broken: readonly [string, Configuration][] = [
    ['no voter is left', NO_CONFIGURATION],
    ['a node is listed twice', configurationOf([1, 1])],
    ['a node is a voter and a learner', configurationOf([1, 2], [2])],
    ['a learner is an outgoing voter', { ...joint, learners: nodes(3) }],
    ['a node is a voter and will be a learner', { ...joint, learnersNext: nodes(2) }],
    ['a future learner is not an outgoing voter', { ...joint, learnersNext: nodes(5) }],
    ['leaves automatically but is not joint', { ...configurationOf([1]), autoLeave: true }],
    ['more than 7 voters', configurationOf([1, 2, 3, 4, 5, 6, 7, 8])],
    [
      'more than 16 members',
      configurationOf(
        [1],
        Array.from({ length: 16 }, (_, at) => at + 2),
      ),
    ],
  ];
  test.each(broken)('refuses: %s', (reason, configuration) => {
    expect(checkConfiguration(configuration)).toBe(reason);
  });

  test('accepts a joint configuration', () => {
    expect(checkConfiguration(joint)).toBeNull();
  });
});

describe('enterJoint', () => {
  const refused: readonly [string, Configuration, MemberChange[]][] = [
    ['a membership change is not finished', joint, [voter(9)]],
    ['no change is given', configurationOf([1]), []],
    ['a node is changed twice', configurationOf([1]), [voter(2), remove(2)]],
    ['no voter is left', configurationOf([1], [2]), [remove(1)]],
    [`node ${nodeId(7)} is not a member`, configurationOf([1]), [remove(7)]],
    [`node ${nodeId(1)} is a voter already`, configurationOf([1]), [voter(1)]],
    [`node ${nodeId(2)} is a learner already`, configurationOf([1], [2]), [learner(2)]],
  ];
  test.each(refused)('refuses: %s', (reason, current, changes) => {
    expect(enterJoint(current, changes)).toEqual({ invalid: reason });
  });

  test('a demoted voter becomes a learner only when the joint configuration is left', () => {
    const { configuration } = enterJoint(configurationOf([1, 2, 3]), [learner(3), voter(4)]);
    expect(configuration).toEqual({
      voters: nodes(1, 2, 4),
      votersOutgoing: nodes(1, 2, 3),
      learners: [],
      learnersNext: nodes(3),
      autoLeave: true,
    });
    expect(leaveJoint(configuration ?? NO_CONFIGURATION)).toEqual(configurationOf([1, 2, 4], [3]));
  });

  test('quorums of consecutive configurations always meet (invariant 28)', () => {
    const change = fc.record({
      at: fc.integer({ min: 1, max: 6 }),
      how: fc.constantFrom(voter, learner, remove),
    });
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 5 }),
        fc.array(change, { minLength: 1, maxLength: 4 }),
        (voters, changes) => {
          const before = configurationOf(voters);
          const { configuration: between } = enterJoint(
            before,
            changes.map(({ at, how }) => how(at)),
          );
          if (between === undefined) return;
          expect(meet(before, between)).toBe(true);
          expect(meet(between, leaveJoint(between))).toBe(true);
        },
      ),
      { numRuns: 300 },
    );
  });

  test('a committed change that does not fit stops the node', () => {
    const change = { changes: [remove(9)], context: new Uint8Array(0) };
    expect(() => applyConfigurationChange(configurationOf([1]), change)).toThrow('I18');
    expect(() => leaveJoint(configurationOf([1]))).toThrow('I18');
  });
});

/** Whether no two disjoint groups of six nodes are a quorum of one each. */
function meet(one: Configuration, other: Configuration): boolean {
  const quorum = (configuration: Configuration, group: number): boolean =>
    [configuration.voters, configuration.votersOutgoing].every(
      (set) =>
        set.length === 0 ||
        set.filter((id) => (group >> Number.parseInt(id, 16)) & 1).length * 2 > set.length,
    );
  for (let group = 0; group < 128; group += 1) {
    if (quorum(one, group) && quorum(other, 127 & ~group)) return false;
  }
  return true;
}

describe('the stored forms', () => {
  test('bytes of a change', () => {
    const bytes = encodeConfigurationChange({
      changes: [voter(1), learner(2), remove(3)],
      context: Buffer.from('abc'),
    });
    expect(bytes.toString('hex')).toBe(
      '01000301000000000000000102000000000000000203000000000000000300000003616263',
    );
    expect(decodeConfigurationChange(bytes)).toEqual({
      changes: [voter(1), learner(2), remove(3)],
      context: Buffer.from('abc'),
    });
  });

  test('a configuration comes back', () => {
    expect(decodeConfiguration(encodeConfiguration(joint))).toEqual(joint);
    expect(decodeConfiguration(encodeConfiguration(NO_CONFIGURATION))).toEqual(NO_CONFIGURATION);
  });

  test('every cut, every added byte and other versions are refused', () => {
    const bytes = encodeConfigurationChange({ changes: [voter(1)], context: Buffer.from('abc') });
    for (let length = 1; length < bytes.length; length += 1) {
      expect(() => decodeConfigurationChange(bytes.subarray(0, length))).toThrow('is cut short');
    }
    expect(() => decodeConfigurationChange(Buffer.concat([bytes, Buffer.of(0)]))).toThrow('after its end');
    expect(() => decodeConfigurationChange(Buffer.concat([Buffer.of(2), bytes.subarray(1)]))).toThrow(
      'version 2',
    );
    const whole = encodeConfiguration(joint);
    for (let length = 1; length < whole.length; length += 1) {
      expect(() => decodeConfiguration(whole.subarray(0, length))).toThrow('is cut short');
    }
  });
});
