import { expect, it } from 'vitest';
import { LIMITS } from '../../src/base/limits.ts';
import type { AuditedReads, Deliverable } from '../../src/node/auditedReads.ts';
import type { Authorisation } from '../../src/node/authorisation.ts';
import { NodeKvPort } from '../../src/node/kvPort.ts';
import type { Read } from '../../src/node/read.ts';
import type { ScanTurns } from '../../src/node/scanTurns.ts';
import type { Submit } from '../../src/node/submit.ts';
import { bytes, put, StoreRig } from '../store/storeRig.ts';

it('an audited get asks for room once its record stands, not while it is on its way', async () => {
  const rig = await StoreRig.create();
  try {
    rig.run(put('secrets/a', 'value'));
    const steps: string[] = [];
    const allow = (): Promise<Deliverable> => {
      steps.push('record');
      return Promise.resolve({ revision: rig.store.revision, names: new Set(['secrets/a']) });
    };
    const port = new NodeKvPort({
      store: rig.store,
      scans: {} as ScanTurns,
      read: {} as Read,
      authorisation: { requireAuditedValue: () => Promise.resolve() } as unknown as Authorisation,
      submit: {} as Submit,
      auditedReads: { allow } as unknown as AuditedReads,
      refusal: () => null,
    });
    const room = (bytesMax: number) => {
      steps.push(`room ${bytesMax}`);
      return Promise.resolve();
    };
    const principal = { kind: 'client', name: 'ada', address: '' };
    const request = { key: bytes('secrets/a'), revision: 0, serializable: false };
    const { item } = await port.get({ principal, deadlineMs: 100, room }, request);
    expect(String(item?.value)).toBe('value');
    expect(steps).toEqual(['record', `room ${LIMITS.keyBytesMax + LIMITS.valueBytesMax}`]);
  } finally {
    await rig.destroy();
  }
});
