import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { HoldfastError } from '../../src/base/errors.ts';
import type { Logger } from '../../src/base/logger.ts';
import { connect, type HoldfastClient } from '../../src/client/index.ts';
import { loadConfiguration, type NodeConfiguration } from '../../src/node/configuration.ts';
import { HoldfastNode } from '../../src/node/holdfastNode.ts';
import { type AdminContext, initCluster } from '../../src/node/initCluster.ts';
import { freePort } from '../freePort.ts';

/** Keeps what a node logs. */
export class FakeLogger implements Logger {
  readonly warnings: string[] = [];
  debug(): void {}
  info(): void {}
  warn(_fields: object, message: string): void {
    this.warnings.push(message);
  }
  error(): void {}
}

/** A node's place: folders of its own, ports of its own, and how it is started. */
export interface NodeFolder {
  readonly configuration: NodeConfiguration;
  readonly logger: FakeLogger;
  /** Of the certificates that it signs; absent: as the others. */
  readonly certificateLifetimeMs?: number;
}

/** Nodes of real clusters in this process, all under one temporary folder. */
export class NodeFolders {
  readonly root = mkdtempSync(join(tmpdir(), 'holdfast-node-'));
  readonly fatal: HoldfastError[] = [];
  /** Of the certificates of all nodes here; undefined: the usual one. */
  readonly certificateLifetimeMs: number | undefined;
  readonly #running = new Set<HoldfastNode>();
  readonly #clients = new Set<HoldfastClient>();

  constructor({ certificateLifetimeMs }: { certificateLifetimeMs?: number } = {}) {
    this.certificateLifetimeMs = certificateLifetimeMs;
  }

  get #lifetime(): { certificateLifetimeMs?: number } {
    const { certificateLifetimeMs } = this;
    return certificateLifetimeMs === undefined ? {} : { certificateLifetimeMs };
  }

  async folder(name: string, flags: Readonly<Record<string, string>> = {}): Promise<NodeFolder> {
    const [api, peer] = [await freePort(), await freePort()];
    const folder = join(this.root, name);
    mkdirSync(folder, { recursive: true });
    const settings = {
      name,
      dataDir: join(folder, 'data'),
      controlKeyPath: join(folder, 'control.json'),
      jwtSecretPath: join(folder, 'jwt.json'),
      listenApi: `127.0.0.1:${api}`,
      listenPeer: `127.0.0.1:${peer}`,
      ...flags,
    };
    const sources = { flags: new Map(Object.entries(settings)), environment: {}, file: null };
    return { configuration: loadConfiguration(sources), logger: new FakeLogger() };
  }

  /** A first node, made but not started. */
  async first(
    name: string,
    flags: Readonly<Record<string, string>> = {},
  ): Promise<NodeFolder & { admin: AdminContext }> {
    const folder = await this.folder(name, flags);
    const { admin } = await initCluster(folder.configuration, () => Promise.resolve(), this.#lifetime);
    return { ...folder, admin };
  }

  async start({ configuration, logger, ...own }: NodeFolder): Promise<HoldfastNode> {
    const node = await HoldfastNode.start(configuration, {
      logger,
      version: 'test',
      ...this.#lifetime,
      ...(own.certificateLifetimeMs === undefined
        ? {}
        : { certificateLifetimeMs: own.certificateLifetimeMs }),
      onFatal: (error) => this.fatal.push(error),
    });
    this.#running.add(node);
    return node;
  }

  async stop(node: HoldfastNode): Promise<void> {
    this.#running.delete(node);
    await node.stop();
  }

  async client({ admin }: { admin: AdminContext }, nodes: readonly HoldfastNode[]): Promise<HoldfastClient> {
    const { ca, certificate, privateKey } = admin;
    const endpoints = nodes.map((node) => node.apiAddress);
    const client = await connect({ endpoints, ca, certificate, privateKey, requestTimeoutMs: 15_000 });
    this.#clients.add(client);
    return client;
  }

  async close(): Promise<void> {
    for (const client of this.#clients) await client.close();
    for (const node of this.#running) await node.stop();
    rmSync(this.root, { recursive: true, force: true });
  }
}

/** What an operator does before a join: the same keys on both nodes. */
export function copyKeys(from: NodeFolder, to: NodeFolder): void {
  copyFileSync(from.configuration.controlKeyPath, to.configuration.controlKeyPath);
  copyFileSync(from.configuration.jwtSecretPath, to.configuration.jwtSecretPath);
}
