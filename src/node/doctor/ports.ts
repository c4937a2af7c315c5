import { readFile } from 'node:fs/promises';
import net from 'node:net';
import { join } from 'node:path';
import tls from 'node:tls';
import { systemErrorCode } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import type { NodeIdentityFile } from '../../trust/identityFile.ts';
import { identityUri } from '../../trust/identityUri.ts';
import type { NodeConfiguration } from '../configuration.ts';
import type { DataDirectory } from '../dataDirectory.ts';
import { type Address, formatAddress, isWildcard } from '../settings.ts';
import { type Finding, failure, ok } from './finding.ts';

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
        return failure(
          check,
          `${shown} cannot be listened on (${problem})`,
          `name another address with ${flag}`,
        );
      }
      if (identity !== null && (await isThisNode(address, directory, identity))) {
        return ok(check, `${shown} is this node, which is running`);
      }
      const mend = `ss -ltnp 'sport = :${address.port}' shows it; stop it, or name another port with ${flag}`;
      return failure(check, `${shown} is taken by another program`, mend);
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
  const wanted = `URI:${identityUri(clusterId, { kind: 'node', nodeId })}`;
  return new Promise((resolve) => {
    // Every node certificate names localhost, whatever the address is.
    const socket = tls.connect({ host, port: address.port, ca, servername: 'localhost' });
    const end = (ours: boolean): void => {
      socket.destroy();
      resolve(ours);
    };
    socket.setTimeout(LIMITS.peerConnectTimeoutMs, () => end(false));
    socket.once('error', () => end(false));
    socket.once('secureConnect', () => {
      const names = socket.getPeerCertificate().subjectaltname?.split(', ') ?? [];
      end(names.includes(wanted));
    });
  });
}
