import type { ServerInterceptingCallInterface } from '@grpc/grpc-js';

/*
 * grpc-js 1.14 has one bound for the messages of all methods. What a stranger sends to log in must be kept far shorter before
 * it is in memory, so the bound is set on the call that is beneath the interceptors. The test of strangers says when it moved.
 */
interface CallInternals {
  maxReceiveMessageSize?: number;
  decoder?: { maxReadMessageLength?: number };
}

/** Longer messages end this call, before they are read, and when they only become longer unpacked. False: this grpc-js is built otherwise. */
export function boundMessages(call: ServerInterceptingCallInterface, bytesMax: number): boolean {
  const internals = call as unknown as CallInternals;
  const { decoder } = internals;
  if (
    typeof internals.maxReceiveMessageSize !== 'number' ||
    typeof decoder?.maxReadMessageLength !== 'number'
  )
    return false;
  internals.maxReceiveMessageSize = bytesMax;
  decoder.maxReadMessageLength = bytesMax;
  return true;
}
