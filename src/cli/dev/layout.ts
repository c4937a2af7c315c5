import { join, resolve } from 'node:path';

/** One node of a local cluster: where its files lie and where it listens. */
export interface DevNode {
  readonly name: string;
  readonly dataDir: string;
  readonly secretDir: string;
  readonly controlKeyPath: string;
  readonly jwtSecretPath: string;
  readonly apiAddress: string;
  readonly peerAddress: string;
  readonly logPath: string;
}

export interface DevLayout {
  readonly dir: string;
  readonly contextPath: string;
  readonly nodes: readonly DevNode[];
}

/** Node i listens on port + 10 (i - 1), and for peers one above. Key files are never in a data directory. */
export function devLayout({ dir, nodes, port }: { dir: string; nodes: number; port: number }): DevLayout {
  const root = resolve(dir);
  return {
    dir: root,
    contextPath: join(root, 'context.json'),
    nodes: Array.from({ length: nodes }, (_, i) => {
      const name = `n${i + 1}`;
      const secretDir = join(root, 'secret', name);
      return {
        name,
        dataDir: join(root, name),
        secretDir,
        controlKeyPath: join(secretDir, 'secret-control.json'),
        jwtSecretPath: join(secretDir, 'secret-jwt.json'),
        apiAddress: `127.0.0.1:${port + 10 * i}`,
        peerAddress: `127.0.0.1:${port + 10 * i + 1}`,
        logPath: join(root, 'logs', `${name}.log`),
      };
    }),
  };
}

/** A node's settings as flags. */
export function nodeFlags(node: DevNode): readonly string[] {
  return [
    '--data-dir',
    node.dataDir,
    '--name',
    node.name,
    '--control-key-path',
    node.controlKeyPath,
    '--jwt-secret-path',
    node.jwtSecretPath,
    '--listen-api',
    node.apiAddress,
    '--listen-peer',
    node.peerAddress,
  ];
}
