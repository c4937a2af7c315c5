/** The unary methods of holdfast.v1.Kv. */
import type { UntypedServiceImplementation } from '@grpc/grpc-js';
import type { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { checkCount, checkKey, invalid } from '../command/checkKeys.ts';
import type {
  CloseClientRequest,
  CompactRequest,
  DeleteRequest,
  GetRequest,
  HistoryRequest,
  PutRequest,
  RangeRequest,
  TxnRequest,
} from '../proto/kv.ts';
import type { KvCalls } from './kvCalls.ts';
import type { KvPort } from './ports.ts';
import { refuse } from './refuse.ts';
import { type HandlerContext, unary } from './unary.ts';

export function kvUnaryMethods(
  context: HandlerContext,
  parts: { readonly calls: KvCalls; readonly port: KvPort },
): UntypedServiceImplementation {
  const { calls, port } = parts;
  return {
    put: unary(context, (caller, request: PutRequest) => calls.put(caller, request)),
    get: unary(context, (caller, request: GetRequest) => calls.get(caller, request)),
    delete: unary(context, (caller, request: DeleteRequest) => calls.delete(caller, request)),
    range: unary(context, (caller, request: RangeRequest) => calls.range(caller, request)),
    txn: unary(context, (caller, request: TxnRequest) => calls.txn(caller, request)),
    registerClient: unary(context, (caller) => calls.registerClient(caller)),
    history: unary(context, async (caller, request: HistoryRequest) => {
      refuse(checkKey(request.key) ?? checkLimit(request.limit));
      return port.history(caller, request);
    }),
    compact: unary(context, async (caller, request: CompactRequest) => {
      refuse(checkCount(request.revision, 'revision', 1));
      return port.compact(caller, request);
    }),
    closeClient: unary(context, async (caller, request: CloseClientRequest) => {
      refuse(checkCount(request.clientId, 'client_id', 1));
      await port.closeClient(caller, request);
      return {};
    }),
  };
}

function checkLimit(limit: number): HoldfastError | null {
  return limit <= LIMITS.pageKeysMax ? null : invalid('limit', `must be at most ${LIMITS.pageKeysMax}`);
}
