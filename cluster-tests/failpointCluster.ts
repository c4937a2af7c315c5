import { copyFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { present } from '../src/base/assert.ts';
import { buildFailpointProgram, type FailpointName, SMALL_WINDOWS } from '../test/patches/failpoints.ts';
import { type ClusterNode, LocalCluster, newNode } from './localCluster.ts';
import { until } from './until.ts';

const WITHIN_MS = 30_000;
/** What may be on its way while writers write. */
const BEHIND_ENTRIES_MAX = 50;

/** Three nodes of a program with failpoints and small windows, each of which can be told where to die. */
export class FailpointCluster {
  readonly cluster: LocalCluster;
  readonly #newNode: (name: string) => Promise<ClusterNode>;

  private constructor(cluster: LocalCluster, newNodeOf: (name: string) => Promise<ClusterNode>) {
    this.cluster = cluster;
    this.#newNode = newNodeOf;
  }

  static async form(onCreated: (cluster: LocalCluster) => void): Promise<FailpointCluster> {
    const { program, preload } = await buildFailpointProgram({
      patches: SMALL_WINDOWS,
      folder: '.rig/patched/cluster-tests',
    });
    const node = async (dir: string, name: string): Promise<ClusterNode> => ({
      ...(await newNode(dir, name)),
      launch: {
        nodeArguments: ['--import', preload],
        program,
        environment: { HOLDFAST_FAILPOINTS_FILE: controlFile(dir, name) },
      },
    });
    const cluster = await LocalCluster.form(3, { newNode: node, onCreated });
    return new FailpointCluster(cluster, (name) => node(cluster.dir, name));
  }

  /** A further node, which has the key files and is no member yet. */
  async addNode(name: string): Promise<ClusterNode> {
    const node = await this.#newNode(name);
    const first = present(this.cluster.nodes[0], 'a node with key files');
    copyFileSync(first.controlKeyPath, node.controlKeyPath);
    copyFileSync(first.jwtSecretPath, node.jwtSecretPath);
    this.cluster.nodes.push(node);
    return node;
  }

  /** Says what shall happen at which failpoints of a node; in force when this resolves, or when the node starts. */
  async arm(name: string, specification: string): Promise<void> {
    const file = controlFile(this.cluster.dir, name);
    writeFileSync(file, specification);
    if (!this.cluster.isRunning(name)) return;
    // It may die of what it was just armed with.
    await until(
      WITHIN_MS,
      () => `${name} to be armed with ${specification}`,
      () => !this.cluster.isRunning(name) || read(`${file}.armed`) === specification,
    );
  }

  /** Waits until a node has died at this failpoint, and of nothing else; from then on it is armed with nothing. */
  async untilDead(name: string, point: FailpointName): Promise<void> {
    await until(
      WITHIN_MS,
      () => `${name} to die at ${point}; the logs say:\n${this.cluster.lastWords()}`,
      () => !this.cluster.isRunning(name),
    );
    const { signalCode, exitCode } = present(this.cluster.process(name), name);
    const file = controlFile(this.cluster.dir, name);
    const last = read(`${file}.acts`).trimEnd().split('\n').at(-1);
    if (signalCode !== 'SIGKILL' || last !== `${point} exit`) {
      throw new Error(
        `${name} died of ${signalCode ?? exitCode}, last act ${last}\n${this.cluster.lastWords()}`,
      );
    }
    writeFileSync(file, '');
  }

  /**
   * One that holds what the leader holds, but for what is on its way: who is further behind gets everything in a
   * snapshot, meets no point on the way of an entry, and loses its watches.
   */
  async follower(): Promise<string> {
    const leader = await this.cluster.leader();
    const follower = leader === 'n1' ? 'n2' : 'n1';
    await until(WITHIN_MS, `${follower} to be up to date`, async () => {
      const statuses = await this.cluster.statuses();
      const own = statuses.find(({ name }) => name === follower);
      return (
        own !== undefined &&
        statuses.every(({ appliedIndex }) => appliedIndex <= own.appliedIndex + BEHIND_ENTRIES_MAX)
      );
    });
    return follower;
  }
}

function controlFile(dir: string, name: string): string {
  return join(dir, `${name}.failpoints`);
}

function read(file: string): string {
  return existsSync(file) ? readFileSync(file, 'utf8') : '';
}
