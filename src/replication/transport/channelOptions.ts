import type { ChannelOptions } from '@grpc/grpc-js';
import { LIMITS } from '../../base/limits.ts';

/**
 * Keepalive finds a peer that stopped answering on an open connection. No proxy, no retries (they buffer), no
 * channelz bookkeeping, and a TCP connection of its own for each client.
 */
export const PEER_CHANNEL_OPTIONS: ChannelOptions = {
  'grpc.keepalive_time_ms': LIMITS.peerKeepaliveMs,
  'grpc.keepalive_timeout_ms': LIMITS.peerKeepaliveTimeoutMs,
  'grpc.keepalive_permit_without_calls': 1,
  'grpc.initial_reconnect_backoff_ms': LIMITS.peerReconnectMsMin,
  'grpc.max_reconnect_backoff_ms': LIMITS.peerReconnectMsMax,
  'grpc.use_local_subchannel_pool': 1,
  'grpc.enable_retries': 0,
  'grpc.enable_channelz': 0,
  'grpc.enable_http_proxy': 0,
  'grpc.max_receive_message_length': LIMITS.peerMessageBytesMax,
  'grpc.max_send_message_length': LIMITS.peerMessageBytesMax,
  'grpc-node.flow_control_window': LIMITS.peerWindowBytes,
  'grpc.client_idle_timeout_ms': 2 ** 31 - 1,
};

const PEER_SERVER_OPTIONS: ChannelOptions = {
  'grpc.keepalive_time_ms': LIMITS.peerKeepaliveMs,
  'grpc.keepalive_timeout_ms': LIMITS.peerKeepaliveTimeoutMs,
  'grpc.max_concurrent_streams': LIMITS.peerStreamsMax,
  'grpc.max_receive_message_length': LIMITS.peerMessageBytesMax,
  'grpc.max_send_message_length': LIMITS.peerMessageBytesMax,
  'grpc.enable_channelz': 0,
};

/**
 * For one connection of a node. Until it has proved itself no message is taken that is longer than a step of the proof:
 * gRPC asks for the length at every call, and would keep each one that comes in memory before a handler sees it.
 */
export function peerServerOptions(isProved: () => boolean): ChannelOptions {
  return {
    ...PEER_SERVER_OPTIONS,
    get 'grpc.max_receive_message_length'() {
      return isProved() ? LIMITS.peerMessageBytesMax : LIMITS.proofStepBytesMax;
    },
  };
}

/** For connections that proved nothing: a join and no more. */
export const STRANGER_SERVER_OPTIONS: ChannelOptions = {
  ...PEER_SERVER_OPTIONS,
  'grpc.max_concurrent_streams': 4,
  'grpc.max_receive_message_length': LIMITS.strangerMessageBytesMax,
  'grpc-node.max_session_memory': 1,
};
