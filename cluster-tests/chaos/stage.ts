import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startProxyServer } from '../faultProxy/start.ts';
import { Cleanup } from './cleanup.ts';
import { Disks } from './disks.ts';
import { machine, type Prerequisite } from './machine.ts';
import { loopbackNetwork, type Network, namespaceNetwork, sweepNetwork } from './network.ts';
import type { ChaosOptions } from './options.ts';

/** More places than nodes: a member can be replaced. */
const SPARE_SLOTS = 1;

export interface Stage {
  readonly dir: string;
  readonly network: Network;
  readonly disks: Disks | null;
  readonly able: ReadonlySet<Prerequisite>;
  readonly cleanup: Cleanup;
  /** The folder stays when all else is cleaned up. */
  keep(): void;
}

/** Network, disks and folders, before there is any node. Everything goes with `cleanup`, but the folder. */
export async function setStage(options: ChaosOptions): Promise<Stage> {
  const cleanup = new Cleanup();
  const stop = (code: number) => () => {
    void cleanup.run().finally(() => process.exit(code));
  };
  process.once('SIGINT', stop(130)).once('SIGTERM', stop(143)).once('SIGHUP', stop(129));
  try {
    const parent = options.dir ?? tmpdir();
    mkdirSync(parent, { recursive: true });
    const dir = mkdtempSync(join(parent, 'chaos-'));
    let isKept = false;
    cleanup.add('folder', () => {
      if (!isKept) rmSync(dir, { recursive: true, force: true });
    });
    const able = new Set(machine(dir));
    if (!options.namespaces) able.delete('namespaces');
    const proxies = await startProxyServer();
    cleanup.add('fault proxy', () => proxies.stop());
    const slots = options.nodes + SPARE_SLOTS;
    if (able.has('namespaces')) sweepNetwork();
    const network = await (able.has('namespaces') ? namespaceNetwork : loopbackNetwork)({
      slots,
      proxies: proxies.client,
      cleanup,
    });
    const disks = able.has('loopImages') ? new Disks(join(dir, 'disks')) : null;
    await disks?.create(slots, cleanup);
    const keep = () => {
      isKept = true;
    };
    return { dir, network, disks, able, cleanup, keep };
  } catch (thrown) {
    await cleanup.run();
    throw thrown;
  }
}
