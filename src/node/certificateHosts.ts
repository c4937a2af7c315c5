import { withLoopback } from '../trust/certificateNames.ts';
import type { NodeConfiguration } from './configuration.ts';
import { isWildcard } from './settings.ts';

/**
 * The names that a node's certificate carries: where it listens and is reached, what the operator added, and
 * loopback, since the identity is in the URI name and a published port is dialled at localhost.
 */
export function certificateHosts(
  configuration: Pick<
    NodeConfiguration,
    'listenApi' | 'listenPeer' | 'advertiseApi' | 'advertisePeer' | 'tlsSan'
  >,
): readonly string[] {
  const { listenApi, listenPeer, advertiseApi, advertisePeer, tlsSan } = configuration;
  const addresses = [listenApi, listenPeer, advertiseApi, advertisePeer].filter(
    (address) => !isWildcard(address),
  );
  return withLoopback([...addresses.map(({ host }) => host), ...tlsSan]);
}
