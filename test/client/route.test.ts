import { beforeEach, describe, expect, it } from 'vitest';
import { ManualClock } from '../../src/base/clock.ts';
import { unreachableNode } from '../../src/client/failure.ts';
import { Route } from '../../src/client/route.ts';

describe('a route', () => {
  let clock: ManualClock;
  let route: Route;
  const lose = (address: string) => route.noteFailure(address, unreachableNode(address, 'gone'));
  beforeEach(() => {
    clock = new ManualClock();
    route = new Route({ endpoints: ['a:1', 'b:1'], clock, firstIndex: 0 });
  });

  it('leads to the leader while that can be reached, and else to an endpoint', () => {
    expect(route.pick('leader')).toBe('a:1');
    route.learnLeader('c:1');
    expect([route.pick('leader'), route.pick('any')]).toEqual(['c:1', 'a:1']);
    lose('c:1');
    expect(route.pick('leader')).toBe('a:1');
  });

  it('leads to a node that was never given when no endpoint can be reached, until one can again', () => {
    route.learn('c:1');
    lose('a:1');
    expect(route.pick('any')).toBe('b:1');
    lose('b:1');
    expect([route.pick('any'), route.pick('leader')]).toEqual(['c:1', 'c:1']);
    clock.advance(1_000);
    expect(['a:1', 'b:1']).toContain(route.pick('any'));
  });

  it('leads to an endpoint when nothing at all can be reached', () => {
    route.learn('c:1');
    for (const address of ['a:1', 'b:1', 'c:1']) lose(address);
    expect(['a:1', 'b:1']).toContain(route.pick('any'));
  });
});
