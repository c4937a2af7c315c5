import { X509Certificate } from 'node:crypto';
import { beforeEach, expect, it } from 'vitest';
import { present } from '../../src/base/assert.ts';
import { systemClock } from '../../src/base/clock.ts';
import { HoldfastError } from '../../src/base/errors.ts';
import { certificateRequest } from '../../src/client/index.ts';
import { CertificateIssuer } from '../../src/node/certificateIssuer.ts';
import { type ClusterPortParts, NodeClusterPort } from '../../src/node/clusterPort.ts';
import type { Denial } from '../../src/node/denials.ts';
import type { Submission } from '../../src/node/submit.ts';
import { issueClientCertificate } from '../../src/trust/certificates.ts';
import { pemOf } from '../../src/trust/tls.ts';
import { DAY_MS, newCluster, random } from '../trust/cluster.ts';

const caller = { principal: { kind: 'client', name: 'ada', address: '127.0.0.1:1' }, deadlineMs: 7 };

let submitted: { readonly submission: Submission; readonly deadlineMs: number }[];
let denied: Denial[];
/** What becomes of the record. */
let outcome: () => Promise<object>;
beforeEach(() => {
  submitted = [];
  denied = [];
  outcome = () => Promise.resolve({ replayed: false });
});

async function rig() {
  const { authority, clusterId } = await newCluster();
  const options = { authority, clusterId, lifetimeMs: DAY_MS, clock: systemClock, random };
  const store = { authority, members: [], authorityRotation: null };
  const own = await issueClientCertificate({ ...options, name: 'ada' });
  const other = await issueClientCertificate({ ...options, name: 'ada' });
  const port = new NodeClusterPort({
    identity: { nodeId: '00000000000000aa' },
    clock: systemClock,
    store,
    certification: { issuer: new CertificateIssuer({ ...options, store }) },
    core: {
      leadership: { isLeader: true },
      denials: { note: (denial: Denial) => denied.push(denial) },
      submit: {
        submit: (submission: Submission, deadlineMs: number) => {
          submitted.push({ submission, deadlineMs });
          return outcome();
        },
      },
    },
  } as unknown as ClusterPortParts);
  const requestOf = (privateKey: Buffer): Buffer =>
    certificateRequest(pemOf(privateKey).replaceAll('CERTIFICATE', 'PRIVATE KEY'));
  return { port, shown: own.certificate, own: requestOf(own.privateKey), other: requestOf(other.privateKey) };
}

it('the certificate of a client is renewed once the record of it stands, which names the new one', async () => {
  const { port, shown, own } = await rig();
  let isAnswered = false;
  let stands = (_outcome: object): void => undefined;
  outcome = () =>
    new Promise((resolve) => {
      stands = resolve;
    });
  const answer = port.renewClient(caller, { csr: own, shown }).finally(() => {
    isAnswered = true;
  });
  await expect.poll(() => submitted.length).toBe(1);
  expect(isAnswered).toBe(false);
  stands({ replayed: false });
  const { serialNumber, validTo } = new X509Certificate((await answer).certificate);
  const { submission, deadlineMs } = present(submitted[0], 'what was submitted');
  expect([submission.principal, deadlineMs]).toEqual([
    { kind: 'node', name: '00000000000000aa', address: '' },
    7,
  ]);
  expect(submission.noteAudit?.records).toEqual([
    expect.objectContaining({
      principalKind: 'client',
      principal: 'ada',
      address: '127.0.0.1:1',
      action: 'certificate.renew',
      resource: Buffer.from('ada'),
      result: 'OK',
      detail: `serial ${serialNumber}, until ${new Date(validTo).toISOString()}`,
    }),
  ]);
});

it('no certificate is handed out whose record does not stand', async () => {
  const { port, shown, own } = await rig();
  outcome = () => Promise.reject(new HoldfastError('NO_LEADER', 'the cluster has no leader now'));
  await expect(port.renewClient(caller, { csr: own, shown })).rejects.toMatchObject({ code: 'NO_LEADER' });
  const failure = { code: 'OVERLOADED', message: 'full', field: '', hint: '' };
  outcome = () => Promise.resolve({ replayed: false, failure });
  await expect(port.renewClient(caller, { csr: own, shown })).rejects.toMatchObject({ code: 'OVERLOADED' });
});

it('who asks for a certificate of another key is denied, which is recorded', async () => {
  const { port, shown, other } = await rig();
  const refused = { code: 'PERMISSION_DENIED', field: 'csr' };
  await expect(port.renewClient(caller, { csr: other, shown })).rejects.toMatchObject(refused);
  await expect(port.renewClient(caller, { csr: Buffer.alloc(3), shown })).rejects.toMatchObject({
    code: 'INVALID_ARGUMENT',
  });
  expect(submitted).toEqual([]);
  const { principal } = caller;
  const resource = Buffer.from('ada');
  const code = 'PERMISSION_DENIED';
  expect(denied).toEqual([
    { principal, proved: true, action: 'certificate.renew', resource, code, detail: 'csr' },
  ]);
});
