import { beforeEach, describe, expect, it } from 'vitest';
import { HoldfastError } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { SubmitRig, turn } from './submitRig.ts';

const NO_BYTES = Buffer.alloc(0);
let rig: SubmitRig;
beforeEach(() => {
  rig = new SubmitRig();
});

describe('bounds on what small commands make large', () => {
  it('turn away what may be answered with too much, until enough of it is answered', async () => {
    const range = { range: { start: NO_BYTES, end: NO_BYTES }, limit: 0, keysOnly: false, countOnly: false };
    const transaction = { compares: [], success: [{ range }, { range }], failure: [] };
    const ask = () => rig.submit.submit({ principal: null, request: null, transaction }, 1_000);
    const most = LIMITS.waitingAnswerBytesMax / LIMITS.pageBytesMax;
    const asked = Array.from({ length: most }, ask);
    await expect(ask()).rejects.toMatchObject({ code: 'OVERLOADED' });
    await turn();
    // Each entry that is applied makes room for the next.
    for (let i = 0; i < rig.ports.proposed.length; i += 1) {
      rig.commit(i);
      await turn();
    }
    await Promise.all(asked);
    const again = ask();
    rig.submit.stop();
    await expect(again).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });

  it('turn away a forward of more commands than an entry has', () => {
    const command = { origin: 'x', sequence: 1, principal: null, registerClient: {} };
    const commands = Array.from({ length: LIMITS.entryCommandsMax }, () => command);
    expect(rig.submit.proposeForwarded(commands)).toBe(true);
    expect(rig.submit.proposeForwarded([...commands, command])).toBe(false);
  });
});

describe('a node in trouble', () => {
  it('turns away what the node says, of its own callers and of others', async () => {
    rig.ports.away = new HoldfastError('NO_SPACE', 'full');
    const fate = rig.write();
    await turn();
    expect(fate.state).toBe('NO_SPACE');
    expect(rig.submit.waitingCount).toBe(0);
    const other = { origin: 'elsewhere', sequence: 1, principal: null };
    expect(rig.submit.proposeForwarded([other])).toBe(false);
    rig.ports.away = null;
    expect(rig.submit.proposeForwarded([other])).toBe(true);
  });
});
