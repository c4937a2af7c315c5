import { describe, expect, it } from 'vitest';
import { type Action, decide, STORE } from '../../src/access/policy.ts';

const ACTIONS: readonly Action[] = [
  'transaction',
  'registerClient',
  'closeClient',
  'compact',
  'bootstrap',
  'createToken',
  'useToken',
  'advanceTime',
  'revokeToken',
  'rotateAuthority',
  'switchAuthority',
  'finishAuthorityRotation',
  'read',
  'watch',
  'changeMembers',
];
const allowed = (kind: string) =>
  ACTIONS.filter((action) => decide({ kind, name: 'x', address: '' }, action, STORE).allowed);

describe('decide', () => {
  it('lets a client do everything', () => {
    expect(allowed('client')).toEqual(ACTIONS);
  });

  it('lets a node do only what nodes do for themselves', () => {
    expect(allowed('node')).toEqual(['bootstrap', 'useToken', 'advanceTime', 'switchAuthority']);
  });

  it.each(['', 'admin', '__proto__', 'constructor'])('lets the unknown kind %j do nothing', (kind) => {
    expect(allowed(kind)).toEqual([]);
  });

  it('lets nobody do nothing', () => {
    expect(decide(null, 'read', STORE)).toEqual({ allowed: false, reason: 'nobody asks' });
  });
});
