/** One address: its gRPC channel, its session stream, its unary calls. */
import { isIP } from 'node:net';
import { checkServerIdentity, createSecureContext, type SecureContext } from 'node:tls';
import {
  CallCredentials,
  Client,
  connectivityState,
  credentials,
  Metadata,
  type StatusObject,
} from '@grpc/grpc-js';
import { present } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import { HoldfastError } from '../base/errors.ts';
import { accessService } from '../proto/access.ts';
import { auditService } from '../proto/auditService.ts';
import { clusterService } from '../proto/cluster.ts';
import { kvService } from '../proto/kv.ts';
import { failureOfStatus, unreachableNode } from './failure.ts';
import { attemptBody, type Outgoing, type Service } from './outgoing.ts';
import { type AttemptEvents, SessionStream } from './sessionStream.ts';

/** A larger call goes as a unary call of its own: on the session it would hold up all the others. */
const SESSION_CALL_BYTES_MAX = 262_144;

const SERVICES = {
  'holdfast.v1.Kv': kvService,
  'holdfast.v1.Cluster': clusterService,
  'holdfast.v1.Access': accessService,
  'holdfast.v1.Audit': auditService,
} as const satisfies Record<Service, object>;

/** Sent as the TLS server name for an address that is an IP, which RFC 6066 does not allow there. */
const NAME_FOR_ADDRESSES = 'address.holdfast.invalid';

const CHANNEL_OPTIONS = {
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 3_000,
  'grpc.keepalive_permit_without_calls': 1,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 1_000,
  'grpc.client_idle_timeout_ms': 2_147_483_647,
  'grpc.use_local_subchannel_pool': 1,
  'grpc.enable_retries': 0,
  'grpc.enable_http_proxy': 0,
  'grpc.enable_channelz': 0,
  'grpc.service_config_disable_resolution': 1,
  'grpc.max_receive_message_length': 67_108_864,
  'grpc-node.flow_control_window': 4_194_304,
} as const;

/** How a client knows the cluster, and how it shows who it is: by a certificate, an access token, or both: then the token counts. */
export interface ClientIdentity {
  /** The only root that a server's certificate is verified against. PEM. */
  readonly ca: string;
  /** PEM, with `privateKey`. */
  readonly certificate?: string | undefined;
  /** PEM. */
  readonly privateKey?: string | undefined;
  /** An access token, or a session. */
  readonly token?: string | undefined;
}

/** What every connection of a client is made with. */
export interface Security {
  readonly context: SecureContext;
  readonly token: string | null;
}

/** @throws HoldfastError CERTIFICATE_INVALID when the texts are not PEM or do not belong together; INVALID_ARGUMENT */
export function securityOf({ ca, certificate, privateKey, token }: ClientIdentity): Security {
  if (token !== undefined && !TOKEN_CHARACTERS.test(token)) {
    throw new HoldfastError('INVALID_ARGUMENT', 'the access token is mistyped or cut', {
      field: 'token',
      hint: 'give it as holdfast token create or login has given it',
    });
  }
  return { context: secureContext({ ca, certificate, privateKey }), token: token ?? null };
}

/** What may stand in a header. */
const TOKEN_CHARACTERS = /^[A-Za-z0-9._~+/=-]{1,1000}$/;

function secureContext({ ca, certificate, privateKey }: ClientIdentity): SecureContext {
  try {
    return createSecureContext({
      ca,
      minVersion: 'TLSv1.3',
      ...(certificate === undefined ? {} : { cert: certificate }),
      ...(privateKey === undefined ? {} : { key: privateKey }),
    });
  } catch (cause) {
    throw new HoldfastError('CERTIFICATE_INVALID', 'the client certificate or its key cannot be used', {
      field: 'certificate',
      hint: 'give CA, certificate and private key as PEM, the key being that of the certificate',
      cause,
    });
  }
}

export class Connection {
  readonly address: string;
  readonly client: Client;
  readonly #events: AttemptEvents;
  readonly #clock: Clock;
  #session: SessionStream | null = null;
  #sessionSupported = true;

  constructor(options: {
    readonly address: string;
    readonly security: Security;
    readonly events: AttemptEvents;
    readonly clock: Clock;
  }) {
    this.address = options.address;
    this.#clock = options.clock;
    this.#events = {
      succeeded: (outgoing, response) => options.events.succeeded(outgoing, response),
      failed: (outgoing, failure) => options.events.failed(outgoing, failure),
      sessionUnsupported: (unsent) => {
        this.#sessionSupported = false;
        for (const outgoing of unsent) this.#sendUnary(outgoing);
      },
    };
    this.client = openClient(options.address, options.security);
  }

  /** Begins an attempt. Its outcome comes through the events, never synchronously. */
  send(outgoing: Outgoing): void {
    if (!outgoing.inSession || !this.#sessionSupported || outgoing.bytes > SESSION_CALL_BYTES_MAX) {
      this.#sendUnary(outgoing);
      return;
    }
    if (this.#session === null || this.#session.closed) {
      const { client, address: endpoint } = this;
      this.#session = new SessionStream({ client, endpoint, events: this.#events, clock: this.#clock });
    }
    this.#session.send(outgoing);
  }

  abandon(outgoing: Outgoing): void {
    this.#session?.abandon(outgoing);
  }

  close(): void {
    this.#session?.close();
    this.client.close();
  }

  #sendUnary(outgoing: Outgoing): void {
    const { attemptId } = outgoing;
    const isCurrent = (): boolean => outgoing.attemptId === attemptId && outgoing.state === 'attempt';
    if (outgoing.repeat === 'read') {
      // Straight away: when it cannot connect, the status of the call says why, which the state of the channel does not.
      outgoing.sent = true;
      this.#call(outgoing, isCurrent);
      return;
    }
    whenConnected(this.client, this.#wallDeadline(outgoing), (reason) => {
      if (!isCurrent()) return;
      if (reason !== null) {
        this.#events.failed(outgoing, unreachableNode(this.address, reason));
        return;
      }
      outgoing.sent = true;
      this.#call(outgoing, isCurrent);
    });
  }

  #call(outgoing: Outgoing, isCurrent: () => boolean): void {
    const method = present(SERVICES[outgoing.service][outgoing.method], outgoing.method);
    this.client.makeUnaryRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      attemptBody(outgoing),
      { deadline: this.#wallDeadline(outgoing) },
      (thrown: StatusObject | null, response?: object) => {
        if (!isCurrent()) return;
        if (thrown === null && response !== undefined) this.#events.succeeded(outgoing, response);
        else if (thrown === null) this.#events.failed(outgoing, unreachableNode(this.address, 'no response'));
        else this.#events.failed(outgoing, failureOfStatus(thrown, this.address));
      },
    );
  }

  #wallDeadline(outgoing: Outgoing): number {
    return this.#clock.wallMs() + Math.max(1, outgoing.deadlineMs - this.#clock.monotonicMs());
  }
}

/**
 * Calls back with null once the channel is connected, or with a reason at its first failure: a call that is only made
 * then has certainly not left before.
 */
function whenConnected(client: Client, wallDeadlineMs: number, done: (reason: string | null) => void): void {
  const channel = client.getChannel();
  const look = (): void => {
    const state = channel.getConnectivityState(true);
    if (state === connectivityState.READY) done(null);
    else if (state === connectivityState.TRANSIENT_FAILURE) done('cannot connect');
    else if (state === connectivityState.SHUTDOWN) done('the client is closed');
    else {
      channel.watchConnectivityState(state, wallDeadlineMs, (thrown) => {
        if (thrown) done('no connection within the deadline');
        else look();
      });
    }
  };
  look();
}

function openClient(address: string, { context, token }: Security): Client {
  const host = hostOf(address);
  const isName = isIP(host) === 0;
  const secured = isName
    ? credentials.createFromSecureContext(context)
    : credentials.createFromSecureContext(context, {
        checkServerIdentity: (_name, certificate) => checkServerIdentity(host, certificate),
      });
  return new Client(address, token === null ? secured : secured.compose(bearer(token)), {
    ...CHANNEL_OPTIONS,
    ...(isName ? {} : { 'grpc.ssl_target_name_override': NAME_FOR_ADDRESSES }),
  });
}

/** RFC 6750, section 2.1. */
function bearer(token: string): CallCredentials {
  return CallCredentials.createFromMetadataGenerator((_options, done) => {
    const metadata = new Metadata();
    metadata.set('authorization', `Bearer ${token}`);
    done(null, metadata);
  });
}

function hostOf(address: string): string {
  return address.slice(0, address.lastIndexOf(':')).replace(/^\[|\]$/g, '');
}
