import type { AuditPort } from '../../src/api/ports.ts';

/** A fake of the audit: there is none. What a real one does, test/node/audit.test.ts shows. */
export class FakeAudit implements AuditPort {
  list() {
    return Promise.resolve({ records: [], nextSequence: 0 });
  }

  head() {
    return Promise.resolve({ sequence: 0, hash: Buffer.alloc(32), node: '' });
  }

  settings() {
    return Promise.resolve({ reads: [], retentionMs: 0 });
  }

  setSettings() {
    return Promise.resolve();
  }
}
