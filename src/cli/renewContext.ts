import { createHash, createPublicKey, X509Certificate } from 'node:crypto';
import type { Command } from 'commander';
import { HoldfastError } from '../base/errors.ts';
import { certificateRequest, type RenewClientResponse } from '../client/index.ts';
import { type Context, contextPath, replaceContext, resolveContext } from './context.ts';
import { type Invocation, outputOf, withClient } from './invocation.ts';
import { timeText } from './value.ts';

/** `holdfast context renew` */
export function addRenewContextCommand(context: Command, invocation: Invocation): void {
  context
    .command('renew')
    .description('a new certificate for this context, and the CAs that the cluster has now')
    .action(async (_options: unknown, command: Command) => {
      const { environment } = invocation;
      refuseEnvironment(environment);
      const { context: name } = command.optsWithGlobals<{ context?: string }>();
      const before = resolveContext(environment, name);
      refuseSession(before);
      const csr = certificateRequest(before.privateKey);
      const answer = await withClient(invocation, command, ({ cluster }) => cluster.renewClient({ csr }));
      const renewed = renewedContext(before, answer);
      await replaceContext(contextPath(environment), renewed);
      const expires = timeText(Date.parse(new X509Certificate(renewed.certificate).validTo));
      const authorities = answer.authorities.map(fingerprintOf);
      const output = outputOf(invocation, command);
      output.result({ context: before.name, expires, authorities }, [
        `context ${before.name}: certificate until ${expires}`,
        ...authorities.map((fingerprint) => `trusted CA  ${fingerprint}`),
      ]);
    });
}

/** What is not in the file cannot be renewed in it. */
function refuseEnvironment(environment: NodeJS.ProcessEnv): void {
  const set = ['HOLDFAST_CA', 'HOLDFAST_CERT', 'HOLDFAST_KEY'].find(
    (name) => environment[name] !== undefined,
  );
  if (set === undefined) return;
  throw new HoldfastError(
    'CONFIG_INVALID',
    `${set} is set: only a context of the context file can be renewed`,
    {
      field: set,
      hint: `unset ${set}, and name the context with --context`,
    },
  );
}

function refuseSession({ name, privateKey }: Context): void {
  if (privateKey !== '') return;
  throw new HoldfastError('CONFIG_INVALID', `context ${name} has no certificate`, {
    field: 'context',
    hint: 'to know another CA, log in again: holdfast login URL --ca-fingerprint sha256:…',
  });
}

/** @throws HoldfastError CERTIFICATE_INVALID when the answer is not for the key of the context, by a CA in it */
function renewedContext(before: Context, answer: RenewClientResponse): Context {
  const certificate = new X509Certificate(Buffer.from(answer.certificate));
  const authorities = answer.authorities.map((der) => new X509Certificate(Buffer.from(der)));
  const isOurs = certificate.publicKey.equals(createPublicKey(before.privateKey));
  const isSigned = authorities.some(
    (authority) => certificate.checkIssued(authority) && certificate.verify(authority.publicKey),
  );
  if (!isOurs || !isSigned) {
    throw new HoldfastError(
      'CERTIFICATE_INVALID',
      isOurs
        ? "the cluster's answer is wrong: none of its CAs has signed the certificate"
        : "the cluster's answer is wrong: the certificate is for another key",
    );
  }
  return { ...before, certificate: certificate.toString(), ca: authorities.map(String).join('') };
}

function fingerprintOf(certificate: Uint8Array): string {
  return `sha256:${createHash('sha256').update(certificate).digest('hex')}`;
}
