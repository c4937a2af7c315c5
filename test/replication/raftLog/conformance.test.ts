import { replicatedLogSuite } from '../../suites/replicatedLog.ts';
import { TestAuthority } from '../transport/certificates.ts';
import { TestCluster } from './testCluster.ts';

replicatedLogSuite('Raft over TLS on loopback', async () => {
  const cluster = await TestCluster.start({ authority: await TestAuthority.create(), size: 3 });
  return {
    nodes: () =>
      [...cluster.nodes.values()].map(({ nodeId, log, state }) => ({
        nodeId,
        log,
        entries: state.entries,
        get leadership() {
          return state.leadership;
        },
      })),
    stop: (nodeId) => cluster.stopNode(nodeId),
    close: () => cluster.close(),
  };
});
