import type { Clock } from '../../base/clock.ts';
import type { NodeConfiguration } from '../configuration.ts';
import { dataDirectory } from '../dataDirectory.ts';
import { checkNodeCertificate } from './certificate.ts';
import { checkClock } from './clock.ts';
import { checkDataDirectory, checkDisk } from './directory.ts';
import type { Finding } from './finding.ts';
import { checkKeys } from './keys.ts';
import { checkPorts } from './ports.ts';
import { checkState } from './state.ts';

/** Looks at everything that this machine holds for its node. Writes nothing, and needs no running node. */
export async function diagnose(configuration: NodeConfiguration, clock: Clock): Promise<readonly Finding[]> {
  const directory = dataDirectory(configuration.dataDir);
  const { findings, identity } = await checkDataDirectory(configuration, directory);
  const certificate =
    identity === null ? [] : [await checkNodeCertificate(directory, { name: identity.name, clock })];
  return [
    ...findings,
    ...checkKeys(configuration, directory),
    ...certificate,
    ...(identity === null ? [] : await checkState(directory)),
    ...(await checkDisk(directory, configuration)),
    ...(await checkPorts(configuration, directory, identity)),
    checkClock(clock),
  ];
}
