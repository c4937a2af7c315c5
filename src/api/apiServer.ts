/** The API port: TLS 1.3, every call of a client certificate or an access token; Kv, Cluster, Access, Audit, health and reflection. */
import tls from 'node:tls';
import {
  logVerbosity,
  Server,
  type ServerCredentials,
  type ServerOptions,
  setLogVerbosity,
} from '@grpc/grpc-js';
import { type Clock, systemClock } from '../base/clock.ts';
import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { accessService } from '../proto/access.ts';
import { auditService } from '../proto/auditService.ts';
import { clusterService } from '../proto/cluster.ts';
import { kvService } from '../proto/kv.ts';
import { accessMethods } from './accessService.ts';
import { auditMethods } from './auditService.ts';
import { Callers, type Identify } from './caller.ts';
import { clusterMethods } from './clusterService.ts';
import { boundConnections } from './connectionBound.ts';
import { Handshakes } from './handshakes.ts';
import { KvCalls } from './kvCalls.ts';
import { kvUnaryMethods } from './kvService.ts';
import { OpenStreams } from './openStreams.ts';
import type { AccessPort, AuditPort, ClusterPort, KvPort } from './ports.ts';
import { addReflection, Health } from './serverInformation.ts';
import { sessionMethod } from './sessionService.ts';
import { strangersShowTokensFirst } from './strangers.ts';
import { Unproved } from './unproved.ts';
import { watchMethod } from './watchService.ts';

// grpc-js passes no version to TLS, so the process-wide floor is the only place; it must be set before the first socket.
tls.DEFAULT_MIN_VERSION = 'TLSv1.3';
// gRPC would write to stderr what reaches our caller as an error as well.
setLogVerbosity(logVerbosity.NONE);

export interface ApiServerOptions {
  readonly kv: KvPort;
  readonly cluster: ClusterPort;
  readonly access: AccessPort;
  readonly audit: AuditPort;
  readonly identify: Identify;
  /** Must ask each client for a certificate of this cluster's authority, and accept one without: it may show a token. */
  readonly credentials: ServerCredentials;
  readonly clock?: Clock;
  /** Default: LIMITS.apiConnectionsMax. */
  readonly connectionsMax?: number;
  /** Default: LIMITS.apiHandshakeWithinMs. */
  readonly handshakeWithinMs?: number | undefined;
  /** Default: LIMITS.apiProofWithinMs. */
  readonly proofWithinMs?: number | undefined;
}

/** Room for what a message holds beside keys and values: ids, field tags, compares. */
const MESSAGE_HEADROOM_BYTES = 65_536;
const KEEPALIVE_TIME_MS = 10_000;
const KEEPALIVE_TIMEOUT_MS = 3_000;

const SERVER_OPTIONS: ServerOptions = {
  'grpc.max_receive_message_length': LIMITS.requestBytesMax + MESSAGE_HEADROOM_BYTES,
  'grpc.max_concurrent_streams': LIMITS.apiStreamsMax,
  // In megabytes, as Node's http2 counts it.
  'grpc-node.max_session_memory': LIMITS.apiSessionMemoryBytes / 1_048_576,
  'grpc.keepalive_time_ms': KEEPALIVE_TIME_MS,
  'grpc.keepalive_timeout_ms': KEEPALIVE_TIMEOUT_MS,
  'grpc.enable_channelz': 0,
};

export class ApiServer {
  readonly #server: Server;
  readonly #health = new Health();
  readonly #streams = new OpenStreams();
  readonly #handshakes: Handshakes;
  readonly #unproved: Unproved;
  readonly #credentials: ServerCredentials;
  readonly #connectionsMax: number;
  readonly #callers: Callers;
  readonly #judging: NodeJS.Timeout;

  constructor(options: ApiServerOptions) {
    this.#credentials = options.credentials;
    this.#connectionsMax = options.connectionsMax ?? LIMITS.apiConnectionsMax;
    const { clock = systemClock } = options;
    const { access } = options;
    this.#handshakes = new Handshakes({ withinMs: options.handshakeWithinMs });
    this.#unproved = new Unproved({ withinMs: options.proofWithinMs });
    const callers = new Callers({
      identify: options.identify,
      holderOf: (token, shown) => access.holderOf(token, shown),
      clock,
      onProved: (peer) => this.#unproved.proved(peer),
      onRefused: (refusal) => access.refused(refusal),
    });
    this.#judging = setInterval(() => this.#streams.drainExpired(clock.wallMs()), LIMITS.apiJudgeIntervalMs);
    this.#judging.unref();
    this.#callers = callers;
    this.#server = new Server({ ...SERVER_OPTIONS, interceptors: [strangersShowTokensFirst(callers)] });
    const context = { callers, access, leaderApiAddress: () => options.cluster.leaderApiAddress() };
    const calls = new KvCalls(options.kv);
    this.#server.addService(kvService, {
      ...kvUnaryMethods(context, { calls, port: options.kv }),
      session: sessionMethod(context, { calls, streams: this.#streams }),
      watch: watchMethod(context, { port: options.kv, streams: this.#streams }),
    });
    this.#server.addService(clusterService, clusterMethods(context, options.cluster));
    this.#server.addService(accessService, accessMethods(context, access));
    this.#server.addService(auditService, auditMethods(context, options.audit));
    this.#health.addTo(this.#server, callers);
    addReflection(this.#server, callers);
  }

  /**
   * Begins to listen. `port` 0: any free one. Resolves with the port in use; health is NOT_SERVING until `setReady`.
   * @throws HoldfastError PORT_IN_USE, or CONFIG_INVALID when the address cannot be listened on
   */
  async listen(address: { readonly host: string; readonly port: number }): Promise<number> {
    const host = address.host.includes(':') ? `[${address.host}]` : address.host;
    return new Promise((resolve, reject) => {
      this.#server.bindAsync(`${host}:${address.port}`, this.#credentials, (thrown, port) => {
        if (thrown !== null) {
          reject(listenError(thrown, `${host}:${address.port}`));
          return;
        }
        boundConnections(this.#server, {
          most: this.#connectionsMax,
          onBegun: (socket) => this.#handshakes.begun(socket),
          onOpened: (socket) => {
            this.#handshakes.finished(socket);
            this.#unproved.opened(socket);
          },
        });
        resolve(port);
      });
    });
  }

  /** What gRPC health says: SERVING while true. */
  setReady(ready: boolean): void {
    this.#health.setReady(ready);
  }

  /** A CA is trusted no more: who calls is judged anew, also on connections and streams that stand. */
  forgetIdentities(): void {
    this.#callers.forget();
    this.#streams.drainAll();
  }

  /** Session and watch streams open now. */
  get openStreams(): number {
    return this.#streams.count;
  }

  /** Takes nothing new, lets calls in flight finish for `graceMs`, then closes every connection. Never rejects. */
  async stop(options: { readonly graceMs: number }): Promise<void> {
    this.setReady(false);
    const finished = new Promise<void>((resolve) => {
      this.#server.tryShutdown(() => resolve());
    });
    clearInterval(this.#judging);
    this.#streams.drainAll();
    const force = setTimeout(() => this.#server.forceShutdown(), options.graceMs);
    await finished;
    clearTimeout(force);
  }
}

/** grpc-js gives the system error as text only. */
function listenError(thrown: Error, address: string): HoldfastError {
  if (thrown.message.includes('EADDRINUSE')) {
    return new HoldfastError('PORT_IN_USE', `${address} is in use by another program`, {
      field: 'listen-api',
      hint: 'stop that program or choose another port',
      cause: thrown,
    });
  }
  return new HoldfastError('CONFIG_INVALID', `cannot listen on ${address}`, {
    field: 'listen-api',
    hint: 'name an address of this machine, and a port that this user may listen on',
    cause: thrown,
  });
}
