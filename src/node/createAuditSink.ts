import { destinationText, type SinkDestination, shownHost } from '../audit/sink/destination.ts';
import { FileSink } from '../audit/sink/fileSink.ts';
import { HttpSink } from '../audit/sink/httpSink.ts';
import type { Sink } from '../audit/sink/sink.ts';
import { SyslogSink } from '../audit/sink/syslogSink.ts';
import { type Clock, systemClock } from '../base/clock.ts';
import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { Logger } from '../base/logger.ts';
import { type Scheduler, systemScheduler } from '../base/scheduler.ts';
import { readSecretFile } from '../envelope/keyFileDisk.ts';
import type { Store } from '../store/store.ts';
import type { NodeIdentityFile } from '../trust/identityFile.ts';
import { AuditSink } from './auditSink.ts';
import { AuditSinkCursorFile } from './auditSinkCursor.ts';
import type { NodeConfiguration } from './configuration.ts';
import type { DataDirectory } from './dataDirectory.ts';

export interface AuditSinkSources {
  readonly configuration: NodeConfiguration;
  readonly identity: NodeIdentityFile;
  readonly directory: DataDirectory;
  readonly store: Store;
  readonly logger: Logger;
}

/**
 * The sink that the settings ask for; null: none.
 * @throws HoldfastError KEY_FILE_INVALID, FILE_UNREADABLE for the file with its secret
 */
export function createAuditSink({ configuration, store, ...sources }: AuditSinkSources): AuditSink | null {
  const { auditSink: destination } = configuration;
  if (destination === null) return null;
  const { logger, directory } = sources;
  const [clock, scheduler] = [systemClock, systemScheduler];
  return new AuditSink({
    store,
    sink: sinkOf(destination, configuration, { ...sources, clock, scheduler }),
    shown: { kind: destination.kind, host: shownHost(destination) },
    cursorFile: new AuditSinkCursorFile({
      path: directory.auditSink,
      destination: destinationText(destination),
      logger,
    }),
    clock,
    scheduler,
    logger,
  });
}

type SinkSources = Pick<AuditSinkSources, 'identity' | 'logger'> & {
  readonly clock: Clock;
  readonly scheduler: Scheduler;
};

function sinkOf(
  destination: SinkDestination,
  configuration: NodeConfiguration,
  { identity, logger, clock, scheduler }: SinkSources,
): Sink {
  const { auditSinkRotateBytes: rotateBytes } = configuration;
  const { clusterId, nodeId, name } = identity;
  if (destination.kind === 'file')
    return new FileSink({ destination, rotateBytes, clusterId, clock, logger });
  if (destination.kind === 'syslog') return new SyslogSink({ destination, host: name, scheduler });
  const key = signingKey(configuration);
  return new HttpSink({ destination, clusterId, nodeId, key, clock, scheduler });
}

/** Whitespace around it is no part of it: an editor ends a file with a line end. */
function signingKey({ auditSinkSecretPath: path, dataDir }: NodeConfiguration): Uint8Array | null {
  if (path === null) return null;
  const content = readSecretFile({ path, dataDir });
  const key = Buffer.from(content.toString('latin1').trim(), 'latin1');
  content.fill(0);
  if (key.length >= LIMITS.auditSinkSecretBytesMin) return key;
  throw new HoldfastError(
    'KEY_FILE_INVALID',
    `the file of audit-sink-secret-path holds fewer than ${LIMITS.auditSinkSecretBytesMin} bytes`,
    { field: 'audit-sink-secret-path', hint: 'fill it with openssl rand -hex 32' },
  );
}
