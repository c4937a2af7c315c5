import { readFile } from 'node:fs/promises';
import net from 'node:net';
import { join } from 'node:path';
import { systemErrorCode } from '../../base/errors.ts';
import type { NodeIdentityFile } from '../../trust/identityFile.ts';
import { identityUri } from '../../trust/identityUri.ts';
import type { NodeConfiguration } from '../configuration.ts';
import type { DataDirectory } from '../dataDirectory.ts';
import { type Address, formatAddress, isWildcard } from '../settings.ts';
import { type Finding, failure, ok } from './finding.ts';
import { presentedCertificate } from './presented.ts';

/** Whether each listening address is free, or taken by this very node. */
export async function checkPorts(
  configuration: Pick<NodeConfiguration, 'listenApi' | 'listenPeer'>,
  directory: DataDirectory,
  identity: NodeIdentityFile | null,
): Promise<readonly Finding[]> {
  const ports = [
    { check: 'API port', flag: '--listen-api', address: configuration.listenApi },
    { check: 'peer port', flag: '--listen-peer', address: configuration.listenPeer },
  ];
  return Promise.all(
    ports.map(async ({ check, flag, address }) => {
      const shown = formatAddress(address);
      const problem = await listeningProblem(address);
      if (problem === null) return ok(check, `${shown} is free`);
      if (problem !== 'EADDRINUSE') {
        const mend = `holdfast server ${flag} HOST:PORT`;
        return failure(check, `${shown} cannot be listened on (${problem})`, mend);
      }
      if (identity !== null && (await isThisNode(address, directory, identity))) {
        return ok(check, `${shown} is this node, which is running`);
      }
      return failure(check, `${shown} is taken by another program`, `ss -ltnp 'sport = :${address.port}'`);
    }),
  );
}

/** The system's code for why nobody can listen there, or null. */
async function listeningProblem({ host, port }: Address): Promise<string | null> {
  const server = net.createServer();
  return new Promise((resolve) => {
    server.once('error', (error) => resolve(systemErrorCode(error) ?? error.message));
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(null)));
  });
}

/** Whether the program there shows the certificate of this node, signed by its cluster's authority. */
async function isThisNode(
  address: Address,
  { root }: DataDirectory,
  { clusterId, nodeId }: NodeIdentityFile,
): Promise<boolean> {
  const ca = await readFile(join(root, 'trust', 'authority.pem')).catch(() => null);
  if (ca === null) return false;
  const host = isWildcard(address) ? 'localhost' : address.host;
  const shown = await presentedCertificate({ host, port: address.port, ca });
  const wanted = `URI:${identityUri(clusterId, { kind: 'node', nodeId })}`;
  return 'names' in shown && shown.names.includes(wanted);
}
