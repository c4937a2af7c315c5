import { afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import type { NodeId } from '../../../src/base/ids.ts';
import type { RenewRequest, RenewResponse } from '../../../src/proto/peer.ts';
import type { GrpcPeerTransport } from '../../../src/replication/transport/grpcPeerTransport.ts';
import { TestAuthority } from './certificates.ts';
import { endProof, NO_METHODS, QUIET_GATE, TestDirectory, TRUSTING } from './testPeers.ts';

const A = '000000000000000a' as NodeId;
const B = '000000000000000b' as NodeId;
const REQUEST: RenewRequest = { nodeId: A, csr: Buffer.from('csr'), hosts: ['a.example'] };

let authority: TestAuthority;
beforeAll(async () => {
  authority = await TestAuthority.create();
});
let directory: TestDirectory;
beforeEach(() => {
  directory = new TestDirectory(authority);
});
afterEach(() => directory.close());

const renewal = (a: GrpcPeerTransport): Promise<RenewResponse> =>
  a.ask<RenewResponse>(B, { method: 'renew', request: REQUEST });

it('a question is answered with who asks by its certificate, and a refusal comes back as it was given', async () => {
  const a = await directory.listen(A);
  const asked: object[] = [];
  let refuse = false;
  await directory.listen(B, {
    methods: {
      ...NO_METHODS,
      renew: ({ peerId, peerCertificate }, request) => {
        const { nodeId, hosts } = request as RenewRequest;
        asked.push({ peerId, nodeId, hosts, shown: peerCertificate.length > 0 });
        if (refuse) return Promise.reject({ code: 9, details: 'no' });
        return Promise.resolve({ certificate: Buffer.from('new'), authorityCertificate: Buffer.from('ca') });
      },
    },
  });
  const { certificate, authorityCertificate } = await renewal(a);
  expect([String(certificate), String(authorityCertificate)]).toEqual(['new', 'ca']);
  expect(asked).toEqual([{ peerId: A, nodeId: A, hosts: ['a.example'], shown: true }]);
  refuse = true;
  await expect(renewal(a)).rejects.toMatchObject({ code: 9, details: 'no' });
});

it('a question of a removed member, or of one that has not proved itself, is not even looked at', async () => {
  const a = await directory.listen(A);
  let isOpen = false;
  let asked = 0;
  const b = await directory.listen(B, {
    trust: { ...TRUSTING, gateFor: () => ({ ...QUIET_GATE, isOpen, answer: endProof }) },
    methods: {
      ...NO_METHODS,
      renew: () => {
        asked += 1;
        return Promise.resolve({ certificate: Buffer.alloc(1), authorityCertificate: Buffer.alloc(1) });
      },
    },
  });
  await expect(renewal(a)).rejects.toMatchObject({ code: 16 });
  isOpen = true;
  directory.removed.add(A);
  await expect(renewal(a)).rejects.toMatchObject({ code: 7 });
  expect(asked).toBe(0);
  expect([b.refused.get('notProved'), b.refused.get('notMember')]).toEqual([1, 1]);
  directory.removed.delete(A);
  await renewal(a);
  expect(asked).toBe(1);
});
