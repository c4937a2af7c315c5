import { createHash, X509Certificate } from 'node:crypto';
import { type Command, Option } from 'commander';
import { HoldfastError } from '../base/errors.ts';
import type { AuthorityStatus, ClusterClient } from '../client/index.ts';
import { clusterGroup } from './clusterGroup.ts';
import { assertConfirmed } from './confirmation.ts';
import { type Context, resolveContext } from './context.ts';
import { type Invocation, outputOf, withClient } from './invocation.ts';
import type { Output } from './output.ts';

interface RotateOptions {
  readonly status: boolean;
  readonly finish: boolean;
  readonly yes: boolean;
}

const BEGINS =
  'a change of the CA cannot be taken back once it has begun: every client needs a new certificate';
const FINISHES =
  'whoever shows a certificate of the former CA, or knows only that CA, is turned away from now on';

/** `holdfast cluster rotate-ca` */
export function addRotateAuthorityCommand(program: Command, invocation: Invocation): void {
  clusterGroup(program)
    .command('rotate-ca')
    .description('make a new CA of the cluster; the old one is trusted beside it until --finish')
    .addOption(new Option('--status', 'how far it is, and who is missing').default(false))
    .addOption(new Option('--finish', 'trust the old CA no more').default(false).conflicts('status'))
    .addOption(new Option('--yes', 'yes, every client is renewed').default(false).conflicts('status'))
    .action(async (options: RotateOptions, command: Command) => {
      const { status, finish } = options;
      if (!status) assertConfirmed(options, finish ? FINISHES : BEGINS);
      const { context: name } = command.optsWithGlobals<{ context?: string }>();
      const own = resolveContext(invocation.environment, name);
      await withClient(invocation, command, async ({ cluster }) => {
        const output = outputOf(invocation, command);
        if (status) show(await cluster.authorityStatus(), output);
        else if (finish) show(await finished(cluster, own), output);
        else show(await cluster.rotateAuthority(), output);
      });
    });
}

/** Who finishes is not shut out by it: nobody else could renew his certificate then. */
async function finished(cluster: ClusterClient, own: Context): Promise<AuthorityStatus> {
  const { phase, signing } = await cluster.authorityStatus();
  if (phase === 'switched' && !isRenewed(own, signing)) {
    throw new HoldfastError(
      'CERTIFICATE_INVALID',
      `context ${own.name} has no certificate of the new CA yet`,
      {
        field: 'context',
        hint: 'holdfast context renew, or use a context that has a certificate: --context',
      },
    );
  }
  return await cluster.finishAuthorityRotation();
}

function isRenewed({ certificate, ca }: Context, signing: string): boolean {
  if (certificate === '') return false;
  const own = new X509Certificate(certificate);
  return (ca.match(PEM) ?? [])
    .map((pem) => new X509Certificate(pem))
    .some(
      (authority) =>
        `sha256:${createHash('sha256').update(authority.raw).digest('hex')}` === signing &&
        own.checkIssued(authority) &&
        own.verify(authority.publicKey),
    );
}

const PEM = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

function show(status: AuthorityStatus, output: Output): void {
  const { phase, signing, other, readyToFinish } = status;
  const missing = status.missing.map(({ nodeId, name }) => ({ nodeId, name }));
  output.result({ phase, signing, other: other === '' ? null : other, missing, readyToFinish }, [
    ...lines(status),
  ]);
  if (phase === 'announced') output.note(`once the next CA signs, ${BEFORE_FINISH}`);
  if (phase === 'switched') output.note(BEFORE_FINISH);
}

const BEFORE_FINISH =
  'before --finish, every client needs both CAs and a certificate of the new one: holdfast context renew, for each context';

function lines({ phase, signing, other, missing, readyToFinish }: AuthorityStatus): readonly string[] {
  const names = missing.map(({ name }) => name).join(', ');
  switch (phase) {
    case 'announced':
      return [
        `CA that signs   ${signing}`,
        `next CA         ${other}`,
        names === ''
          ? 'trusted by all members; it signs in a moment'
          : `waits until it is trusted by: ${names}`,
      ];
    case 'switched':
      return [
        `CA that signs   ${signing}`,
        `former CA       ${other}, trusted still`,
        readyToFinish
          ? 'all members have certificates of the new CA'
          : `waits for new certificates of: ${names}`,
      ];
    default:
      return [`CA that signs   ${signing}`, 'no other CA is trusted'];
  }
}
