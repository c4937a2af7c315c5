/** The calls of the Kv service, whether they come alone or in a session: check, call the port, map. */
import { checkRequestId } from '../command/checkCommand.ts';
import { checkCount, checkKey } from '../command/checkKeys.ts';
import { checkRangeOperation, checkTransaction } from '../command/checkTransaction.ts';
import type {
  DeleteRequest,
  DeleteResponse,
  GetRequest,
  GetResponse,
  PutRequest,
  PutResponse,
  RangeRequest,
  RangeResponse,
  TxnRequest,
  TxnResponse,
} from '../proto/kv.ts';
import type { Outcome } from '../proto/storage.ts';
import {
  deleteCommand,
  deleteResponse,
  putCommand,
  putResponse,
  type TransactionCommand,
  transactionCommand,
  transactionResponse,
} from './kvConversion.ts';
import type { Caller, KvPort } from './ports.ts';
import { refuse } from './refuse.ts';

export class KvCalls {
  readonly #port: KvPort;

  constructor(port: KvPort) {
    this.#port = port;
  }

  async put(caller: Caller, request: PutRequest): Promise<PutResponse> {
    return putResponse(await this.#transact(caller, putCommand(request)));
  }

  async delete(caller: Caller, request: DeleteRequest): Promise<DeleteResponse> {
    return deleteResponse(await this.#transact(caller, deleteCommand(request)));
  }

  async txn(caller: Caller, request: TxnRequest): Promise<TxnResponse> {
    return transactionResponse(await this.#transact(caller, transactionCommand(request)));
  }

  async get(caller: Caller, request: GetRequest): Promise<GetResponse> {
    refuse(checkKey(request.key) ?? checkCount(request.revision, 'revision'));
    return this.#port.get(caller, request);
  }

  async range(caller: Caller, request: RangeRequest): Promise<RangeResponse> {
    refuse(checkRangeOperation(request) ?? checkCount(request.revision, 'revision'));
    return this.#port.range(caller, request);
  }

  registerClient(caller: Caller): Promise<{ readonly clientId: number }> {
    return this.#port.registerClient(caller);
  }

  #transact(caller: Caller, command: TransactionCommand): Promise<Outcome> {
    refuse(command.request === null ? null : checkRequestId(command.request));
    refuse(checkTransaction(command.transaction));
    return this.#port.transact(caller, command);
  }
}
