import { splitAddress } from '../../../base/address.ts';
import type { Clock } from '../../../base/clock.ts';
import { checkCertificate, type Mends, nodeMends } from '../certificate.ts';
import { SET_CLOCK } from '../clock.ts';
import { type Finding, failure } from '../finding.ts';
import { type Presented, presentedCertificate } from '../presented.ts';
import type { ClusterView } from './view.ts';

const CHECK = 'certificates';

/** A node that leads alone renews its certificate as soon as it runs, whether it has ended or not. */
const ALONE: Mends = { mendEnding: 'holdfast server', mendEnded: 'holdfast server' };

/** A node's API port, and what it shows there. */
export interface PresentedAt {
  readonly address: string;
  readonly presented: Presented;
}

/** Looks at what each member, and each endpoint of the context, shows at its API port. */
export function lookAtCertificates(
  view: ClusterView,
  { endpoints, ca }: { readonly endpoints: readonly string[]; readonly ca: string },
): Promise<readonly PresentedAt[]> {
  const addresses = new Set([...view.members.map(({ apiAddress }) => apiAddress), ...endpoints]);
  const dialled = [...addresses].flatMap((address) => {
    const place = splitAddress(address);
    return place === null ? [] : [{ address, place }];
  });
  return Promise.all(
    dialled.map(async ({ address, place }) => ({
      address,
      presented: await presentedCertificate({ ...place, ca }),
    })),
  );
}

/** What OpenSSL calls a certificate that it does not accept; everything else is the network's. */
const FOREIGN = /^(?:UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|CERT_|INVALID_|ERR_TLS_CERT_)/;

export function checkCertificates(
  view: ClusterView,
  { seen, clock }: { readonly seen: readonly PresentedAt[]; readonly clock: Clock },
): readonly Finding[] {
  const voters = view.members.filter(({ role }) => role === 'voter');
  return seen.flatMap(({ address, presented }): Finding[] => {
    const member = view.members.find(({ apiAddress }) => apiAddress === address);
    const whose =
      member === undefined ? `the certificate at ${address}` : `the certificate of ${member.name}`;
    // While nobody says who the members are, nobody can take it out either.
    const isAlone = voters.every(({ nodeId }) => nodeId === member?.nodeId);
    const mends = isAlone ? ALONE : nodeMends(member?.name ?? 'NODE');
    if ('certificate' in presented) {
      const uri = `/node/${member?.nodeId}`;
      if (member !== undefined && !presented.names.some((name) => name.endsWith(uri)))
        return [
          failure(
            CHECK,
            `another node answers at ${address}, the address of ${member.name}`,
            whoListens(address),
          ),
        ];
      return [checkCertificate(presented.certificate, { check: CHECK, whose, ...mends, clock })];
    }
    const { problem } = presented;
    if (problem === 'CERT_HAS_EXPIRED') return [failure(CHECK, `${whose} has expired`, mends.mendEnded)];
    if (problem === 'CERT_NOT_YET_VALID') return [failure(CHECK, `${whose} is not valid yet`, SET_CLOCK)];
    if (!FOREIGN.test(problem)) return [];
    return [failure(CHECK, `${whose} is not of this cluster (${problem})`, whoListens(address))];
  });
}

function whoListens(address: string): string {
  return `ss -ltnp 'sport = :${splitAddress(address)?.port}'`;
}
