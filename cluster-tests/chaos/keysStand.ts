import type { Injected } from './faultKind.ts';
import type { World } from './target.ts';

/**
 * No change of keys is under way while this fault is in force: to a copy from before one the node would be another node,
 * with another control key.
 */
export async function whileKeysStand<W extends World>(
  world: W,
  inject: (world: W) => Promise<Injected | null>,
): Promise<Injected | null> {
  const changeKeysAgain = await world.holdKeys();
  const injected = await inject(world).catch((thrown: unknown) => {
    changeKeysAgain();
    throw thrown;
  });
  if (injected === null) changeKeysAgain();
  return injected && { ...injected, heal: () => injected.heal().finally(changeKeysAgain) };
}
