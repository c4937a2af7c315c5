import type { Caller } from '../api/ports.ts';
import { type AuditAction, DENIALS } from '../audit/record/actions.ts';
import { toHoldfastError } from '../base/errors.ts';
import type { RenewClientRequest } from '../proto/cluster.ts';
import { readCertificate } from '../trust/publicKey.ts';
import { askedRecord, noteAsked } from './askedRecord.ts';
import type { CertificateIssuer } from './certificateIssuer.ts';
import type { Denials } from './denials.ts';
import type { Submit } from './submit.ts';

export interface ClientRenewalParts {
  readonly issuer: Pick<CertificateIssuer, 'reissueClient'>;
  readonly submit: Pick<Submit, 'submit'>;
  readonly denials: Pick<Denials, 'note'>;
  readonly nodeId: string;
}

const ACTION: AuditAction = 'certificate.renew';

/**
 * The certificate (DER) of a client once more: handed out once the log says that there is another one, and which.
 * @throws HoldfastError as CertificateIssuer.reissueClient, and when the record is not known to stand
 */
export async function renewClientCertificate(
  parts: ClientRenewalParts,
  caller: Caller,
  request: RenewClientRequest & { readonly shown: Uint8Array },
): Promise<Buffer> {
  const { principal, deadlineMs } = caller;
  const certificate = await issued(parts, caller, request);
  const { serialNumber, validTo } = readCertificate(certificate);
  const detail = `serial ${serialNumber}, until ${new Date(validTo).toISOString()}`;
  const record = askedRecord(principal, { action: ACTION, resource: principal.name, detail });
  await noteAsked(parts, record, deadlineMs);
  return certificate;
}

/** That somebody asked for a certificate of another key is recorded too. @throws as CertificateIssuer.reissueClient */
async function issued(
  { issuer, denials }: ClientRenewalParts,
  { principal }: Caller,
  { csr, shown }: RenewClientRequest & { readonly shown: Uint8Array },
): Promise<Buffer> {
  try {
    return await issuer.reissueClient({ name: principal.name, csr, shown });
  } catch (thrown) {
    const { code, field = '' } = toHoldfastError(thrown);
    const resource = Buffer.from(principal.name, 'utf8');
    if (DENIALS.has(code))
      denials.note({ principal, proved: true, action: ACTION, resource, code, detail: field });
    throw thrown;
  }
}
