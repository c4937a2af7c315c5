import { once } from 'node:events';
import { copyFileSync, cpSync, mkdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { freePort } from '../../test/freePort.ts';
import type { ClusterNode } from '../localCluster.ts';
import { until } from '../until.ts';
import { comeBack } from './comeBack.ts';
import { type FaultKind, type Injected, OURS } from './faultKind.ts';
import type { HoldfastTarget } from './holdfastTarget.ts';
import { whileKeysStand } from './keysStand.ts';
import { anyone } from './processFaults.ts';
import type { World } from './target.ts';

type OurWorld = World<HoldfastTarget>;

const HEARD_WITHIN_MS = 20_000;
const FENCED_WITHIN_MS = 40_000;

/**
 * A copy of a node's data directory is started beside the node, whom all members have heard before: they have to turn the
 * copy away, and say so. Since both are of the same start, they turn the node away too, which is then started again alone.
 */
async function twin(world: OurWorld): Promise<Injected | null> {
  const name = anyone(world);
  if (name === null || !world.target.isRunning(name)) return null;
  world.expectExit(name);
  await world.target.kill(name);
  const copy = copyOf(world.target.cluster.node(name));
  world.target.start(name);
  let isFenced = false;
  return {
    what: name,
    holds: [name],
    lastsMs: 0,
    heal: async () => {
      try {
        if ((await comeBack(world, name)) !== 'back') return;
        await until(HEARD_WITHIN_MS, 'all members to hear it', () => world.target.isWhole());
        isFenced = await runsBeside(world, { name, copy });
        world.expectExit(name);
        await world.target.kill(name);
        world.target.start(name);
        await comeBack(world, name);
      } finally {
        for (const folder of [copy.dataDir, dirname(copy.controlKeyPath)])
          rmSync(folder, { recursive: true, force: true });
      }
    },
    struck: () => isFenced,
  };
}

/** With key files of its own, as on another machine. */
function copyOf(node: ClusterNode): ClusterNode {
  const [dataDir, secretDir] = [`${node.dataDir}.twin`, `${dirname(node.controlKeyPath)}.twin`];
  cpSync(node.dataDir, dataDir, { recursive: true });
  mkdirSync(secretDir, { recursive: true, mode: 0o700 });
  const controlKeyPath = join(secretDir, 'secret-control.json');
  const jwtSecretPath = join(secretDir, 'secret-jwt.json');
  copyFileSync(node.controlKeyPath, controlKeyPath);
  copyFileSync(node.jwtSecretPath, jwtSecretPath);
  const launch = { wrapper: node.launch?.wrapper ?? [] };
  return { ...node, dataDir, controlKeyPath, jwtSecretPath, launch, logPath: `${node.logPath}.twin` };
}

async function runsBeside(
  world: OurWorld,
  { name, copy }: { name: string; copy: ClusterNode },
): Promise<boolean> {
  const { host } = world.target.placeOf(name);
  const second = world.target.cluster.startProcess({
    ...copy,
    apiAddress: `${host}:${await freePort()}`,
    peerAddress: `${host}:${await freePort()}`,
  });
  const ended = once(second, 'exit');
  const isRunning = (): boolean => second.exitCode === null && second.signalCode === null;
  try {
    await until(FENCED_WITHIN_MS, 'a member to turn the copy away', async () => {
      if (!isRunning()) return true;
      const statuses = await world.target.statuses();
      return statuses.some(({ fenced = [] }) =>
        fenced.some((one) => one.name === name && one.code === 'NODE_ID_REUSED'),
      );
    });
    return isRunning();
  } catch {
    world.violation(
      `a copy of ${name} ran beside it, and nobody turned it away\n${world.target.lastWords()}`,
    );
    return false;
  } finally {
    if (isRunning()) {
      second.kill('SIGKILL');
      await ended;
    }
  }
}

export const TWIN: FaultKind<HoldfastTarget> = {
  name: 'two nodes with one id',
  needs: [],
  weight: 1,
  takes: 'one',
  alone: true,
  targets: OURS,
  inject: (world) => whileKeysStand(world, twin),
};
