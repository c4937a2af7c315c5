import { beforeEach, describe, expect, it } from 'vitest';
import type { NodeId } from '../../src/base/ids.ts';
import { LEADER, SubmitRig, turn } from './submitRig.ts';

let rig: SubmitRig;
beforeEach(() => {
  rig = new SubmitRig();
  rig.ports.leader = false;
});

describe('a follower whose forward is refused', () => {
  it('sends a refused forward again with the next sweep, not at once and for ever', async () => {
    const fate = rig.write();
    await turn();
    rig.submit.forwardRefused({ from: LEADER, sequence: rig.ports.forwarded[0]?.sequence ?? 0 });
    await turn();
    rig.write();
    await turn();
    expect(rig.ports.tries).toBe(1);
    rig.submit.sweep();
    await turn();
    expect(rig.ports.forwarded[1]?.commands).toHaveLength(2);
    rig.apply(rig.ports.forwarded[1]?.commands ?? []);
    await turn();
    expect(fate.state).toBe('revision 1');
  });

  it('takes no refusal for a forward of an earlier run', async () => {
    rig.write();
    await turn();
    for (let sequence = 0; sequence < 10; sequence += 1)
      rig.submit.forwardRefused({ from: LEADER, sequence });
    rig.submit.sweep();
    await turn();
    expect(rig.ports.forwarded).toHaveLength(1);
  });

  it('takes no refusal from a node that it has sent nothing to', async () => {
    rig.write();
    await turn();
    const sequence = rig.ports.forwarded[0]?.sequence ?? 0;
    rig.submit.forwardRefused({ from: '00000000000000b2' as NodeId, sequence });
    rig.submit.sweep();
    await turn();
    expect(rig.ports.forwarded).toHaveLength(1);
    rig.submit.forwardRefused({ from: LEADER, sequence });
    rig.submit.sweep();
    await turn();
    expect(rig.ports.forwarded).toHaveLength(2);
  });

  it('knows that a refused forward was not applied', async () => {
    const fate = rig.write({ deadlineMs: 100 });
    await turn();
    rig.submit.forwardRefused({ from: LEADER, sequence: rig.ports.forwarded[0]?.sequence ?? 0 });
    rig.clock.advance(100);
    rig.submit.sweep();
    await turn();
    expect(fate.state).toBe('NO_LEADER');
  });
});
