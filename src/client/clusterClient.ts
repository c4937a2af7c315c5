import { type HoldfastError, toHoldfastError } from '../base/errors.ts';
import type {
  AddTokenResponse,
  AuthorityStatus,
  BeginKeyChangeResponse,
  ConfirmKeyChangeRequest,
  MemberListResponse,
  MemberRequest,
  RenewClientRequest,
  RenewClientResponse,
  StatusResponse,
  TokenListResponse,
} from '../proto/cluster.ts';
import type { Dispatcher } from './dispatcher.ts';

/** What one node says of itself, or why it says nothing. */
export type NodeReport =
  | { readonly endpoint: string; readonly status: StatusResponse }
  | { readonly endpoint: string; readonly error: HoldfastError };

export interface CallOptions {
  /** How long an answer is of use, in milliseconds; the client's `requestTimeoutMs` when absent. */
  readonly timeoutMs?: number;
}

/** The cluster itself: status and membership. Every method throws HoldfastError. */
export class ClusterClient {
  readonly #dispatcher: Dispatcher;
  readonly #endpoints: readonly string[];

  constructor(options: { readonly dispatcher: Dispatcher; readonly endpoints: readonly string[] }) {
    this.#dispatcher = options.dispatcher;
    this.#endpoints = options.endpoints;
  }

  /** What the node at `endpoint` knows, or any node that answers. */
  async status(options: CallOptions & { readonly endpoint?: string } = {}): Promise<StatusResponse> {
    const response = await this.#call<StatusResponse>('status', {
      body: {},
      repeat: 'read',
      to: options.endpoint ?? 'any',
      timeoutMs: options.timeoutMs,
    });
    if (options.endpoint === undefined) this.#dispatcher.noteStatus(response);
    return response;
  }

  /** The reports of all given endpoints and of all members that they name, each node once. Never throws. */
  async statusOfAll(options: CallOptions = {}): Promise<readonly NodeReport[]> {
    const reports = await Promise.all(this.#endpoints.map((endpoint) => this.#report(endpoint, options)));
    const known = new Set(this.#endpoints);
    const statuses = reports.flatMap((report) => ('status' in report ? [report.status] : []));
    const answered = new Set(statuses.map((status) => status.nodeId));
    const others = new Set<string>();
    for (const member of statuses.flatMap((status) => status.members)) {
      if (answered.has(member.nodeId) || known.has(member.apiAddress) || member.apiAddress === '') continue;
      others.add(member.apiAddress);
    }
    const further = await Promise.all([...others].map((endpoint) => this.#report(endpoint, options)));
    return [...reports, ...further];
  }

  members(options: CallOptions = {}): Promise<MemberListResponse> {
    return this.#call<MemberListResponse>('memberList', {
      body: {},
      repeat: 'read',
      timeoutMs: options.timeoutMs,
    });
  }

  /** A new join token, for a `voter` unless said, good for one hour unless said. */
  addToken(
    token: { readonly role?: string; readonly ttlMs?: number } = {},
    options: CallOptions = {},
  ): Promise<AddTokenResponse> {
    const body = { role: token.role ?? 'voter', ttlMs: token.ttlMs ?? 0 };
    return this.#call<AddTokenResponse>('addToken', { body, repeat: 'once', timeoutMs: options.timeoutMs });
  }

  /** The join tokens that are kept, the oldest first, used and expired ones too. */
  tokens(options: CallOptions = {}): Promise<TokenListResponse> {
    return this.#call<TokenListResponse>('tokenList', {
      body: {},
      repeat: 'read',
      timeoutMs: options.timeoutMs,
    });
  }

  revokeToken(token: { readonly id: string }, options: CallOptions = {}): Promise<void> {
    return this.#change('revokeToken', token, options);
  }

  /** `member`: node id or name, here and below. */
  promote(request: MemberRequest, options: CallOptions = {}): Promise<void> {
    return this.#change('promoteMember', request, options);
  }

  demote(request: MemberRequest, options: CallOptions = {}): Promise<void> {
    return this.#change('demoteMember', request, options);
  }

  /** `force`: also when the rest has no live quorum. */
  remove(request: MemberRequest & { readonly force?: boolean }, options: CallOptions = {}): Promise<void> {
    return this.#change('removeMember', { force: false, ...request }, options);
  }

  transferLeadership(request: MemberRequest, options: CallOptions = {}): Promise<void> {
    return this.#change('transferLeadership', request, options);
  }

  /** Begins a change of keys. `source`: of a rekey, where the new control key comes from. */
  beginKeyChange(
    request: { readonly kind: string; readonly encryption?: string; readonly source?: string },
    options: CallOptions = {},
  ): Promise<BeginKeyChangeResponse> {
    const body = { encryption: '', source: '', ...request };
    return this.#call('beginKeyChange', { body, repeat: 'once', timeoutMs: options.timeoutMs });
  }

  /** An operator holds a copy of the new control key. */
  confirmKeyChange(request: ConfirmKeyChangeRequest, options: CallOptions = {}): Promise<void> {
    return this.#change('confirmKeyChange', request, options);
  }

  abortKeyChange(request: { readonly id: string }, options: CallOptions = {}): Promise<void> {
    return this.#change('abortKeyChange', request, options);
  }

  /** Makes a new CA of the cluster, which all members trust first and which then signs. */
  rotateAuthority(options: CallOptions = {}): Promise<AuthorityStatus> {
    return this.#call<AuthorityStatus>('rotateAuthority', { body: {}, repeat: 'once', ...options });
  }

  /** Drops the former CA: clients that trust only that cannot connect any more. */
  finishAuthorityRotation(options: CallOptions = {}): Promise<AuthorityStatus> {
    return this.#call<AuthorityStatus>('finishAuthorityRotation', { body: {}, repeat: 'once', ...options });
  }

  authorityStatus(options: CallOptions = {}): Promise<AuthorityStatus> {
    return this.#call<AuthorityStatus>('getAuthorityStatus', { body: {}, repeat: 'read', ...options });
  }

  /** A new certificate for the name and key that this client shows; `csr` as `certificateRequest` makes it. */
  renewClient(request: RenewClientRequest, options: CallOptions = {}): Promise<RenewClientResponse> {
    return this.#call<RenewClientResponse>('renewClient', { body: request, repeat: 'read', ...options });
  }

  async #report(endpoint: string, options: CallOptions): Promise<NodeReport> {
    try {
      return { endpoint, status: await this.status({ ...options, endpoint }) };
    } catch (thrown) {
      return { endpoint, error: toHoldfastError(thrown) };
    }
  }

  async #change(method: string, body: object, options: CallOptions): Promise<void> {
    await this.#call(method, { body, repeat: 'once', timeoutMs: options.timeoutMs });
  }

  #call<Response extends object>(
    method: string,
    options: {
      readonly body: object;
      readonly repeat: 'read' | 'once';
      readonly to?: string;
      readonly timeoutMs?: number | undefined;
    },
  ): Promise<Response> {
    return this.#dispatcher.request<Response>({ service: 'holdfast.v1.Cluster', method, ...options });
  }
}
