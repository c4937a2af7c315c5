import type { AlertSettings, AuditSettings } from '../proto/audit.ts';
import type {
  AuditEntry,
  AuditHeadResponse,
  AuditListResponse,
  GetAlertsResponse,
  GetAuditSettingsResponse,
} from '../proto/auditService.ts';

import type { CallOptions } from './clusterClient.ts';
import type { Dispatcher } from './dispatcher.ts';

/** Which records; without any of these, all. */
export interface AuditListOptions {
  /** Where to begin. */
  readonly fromSequence?: number;
  /** Milliseconds since 1970, by the cluster's clock; `untilMs` is exclusive. */
  readonly sinceMs?: number;
  readonly untilMs?: number;
  /** The name of who asked. */
  readonly principal?: string;
  readonly action?: string;
  /** A pattern of names, as in policies. */
  readonly resource?: string;
  /** "OK", "denied", "failed" or a code. */
  readonly result?: string;
}

/** Who did what. Every method throws HoldfastError. */
export class AuditClient {
  readonly #dispatcher: Dispatcher;

  constructor(dispatcher: Dispatcher) {
    this.#dispatcher = dispatcher;
  }

  /** One page; `nextSequence` 0: there is nothing more now. */
  list(
    { limit = 0, ...options }: AuditListOptions & { readonly limit?: number },
    call: CallOptions = {},
  ): Promise<AuditListResponse> {
    return this.#call('list', { body: { limit, ...options }, repeat: 'read', ...call });
  }

  /** All of them, page by page, in the order of their sequence. */
  async *records(options: AuditListOptions = {}): AsyncGenerator<AuditEntry, undefined> {
    let page = await this.list(options);
    for (;;) {
      yield* page.records;
      if (page.nextSequence === 0) return undefined;
      page = await this.list({ ...options, fromSequence: page.nextSequence });
    }
  }

  /** The last record and its hash, or those of a sequence. `to`: host:port of a node, which answers by itself. */
  head(
    { sequence = 0, to }: { readonly sequence?: number; readonly to?: string } = {},
    options: CallOptions = {},
  ): Promise<AuditHeadResponse> {
    const where = to === undefined ? {} : { to };
    return this.#call('head', { body: { sequence }, repeat: 'read', ...where, ...options });
  }

  settings(options: CallOptions = {}): Promise<GetAuditSettingsResponse> {
    return this.#call('getSettings', { body: {}, repeat: 'read', ...options });
  }

  /** With `expected` refused, as INVALID_ARGUMENT of that field, when the present ones are others. */
  async setSettings(
    settings: AuditSettings,
    { expected, ...options }: CallOptions & { readonly expected?: AuditSettings } = {},
  ): Promise<void> {
    await this.#call('setSettings', { body: { settings, expected }, repeat: 'once', ...options });
  }

  /** Never with the secret of the webhook. */
  alerts(options: CallOptions = {}): Promise<GetAlertsResponse> {
    return this.#call('getAlerts', { body: {}, repeat: 'read', ...options });
  }

  /** An empty secret keeps the one that the cluster has for this address. */
  async setAlerts(settings: AlertSettings, options: CallOptions = {}): Promise<void> {
    await this.#call('setAlerts', { body: settings, repeat: 'once', ...options });
  }

  #call<Response extends object>(
    method: string,
    options: CallOptions & { readonly body: object; readonly repeat: 'read' | 'once'; readonly to?: string },
  ): Promise<Response> {
    return this.#dispatcher.request<Response>({ service: 'holdfast.v1.Audit', method, ...options });
  }
}
