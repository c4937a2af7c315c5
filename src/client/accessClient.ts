import type {
  AccessTokenListResponse,
  CreateAccessTokenResponse,
  ExplainPolicyResponse,
  PolicyListResponse,
  WhoAmIResponse,
} from '../proto/access.ts';
import type { Policy } from '../proto/storage.ts';
import type { CallOptions } from './clusterClient.ts';
import type { Dispatcher } from './dispatcher.ts';
import { type Bytes, toBytes } from './keys.ts';

/** Who may do what: roles, and access tokens that have them. Every method throws HoldfastError. */
export class AccessClient {
  readonly #dispatcher: Dispatcher;

  constructor(dispatcher: Dispatcher) {
    this.#dispatcher = dispatcher;
  }

  /** How a node that answers sees this client. */
  whoAmI(options: CallOptions = {}): Promise<WhoAmIResponse> {
    return this.#call('whoAmI', { body: {}, repeat: 'read', to: 'any', ...options });
  }

  /** Makes the policy of a role, or puts another one in its place. */
  async putPolicy(policy: Policy, options: CallOptions = {}): Promise<void> {
    await this.#call('putPolicy', { body: { policy }, repeat: 'once', ...options });
  }

  async deletePolicy(request: { readonly role: string }, options: CallOptions = {}): Promise<void> {
    await this.#call('deletePolicy', { body: request, repeat: 'once', ...options });
  }

  policies(options: CallOptions = {}): Promise<PolicyListResponse> {
    return this.#call('policyList', { body: {}, repeat: 'read', ...options });
  }

  /** `who`: a role, or the id of an access token; `action`: a capability, or `admin:` and an area, which has no key. */
  explain(
    question: { readonly who: string; readonly action: string; readonly key?: Bytes },
    options: CallOptions = {},
  ): Promise<ExplainPolicyResponse> {
    const { who, action, key = '' } = question;
    return this.#call('explainPolicy', {
      body: { who, action, key: toBytes(key) },
      repeat: 'read',
      ...options,
    });
  }

  /** A new access token; without `ttlMs` it is good until it is revoked. Its text is in this answer only. */
  createToken(
    token: { readonly roles: readonly string[]; readonly description?: string; readonly ttlMs?: number },
    options: CallOptions = {},
  ): Promise<CreateAccessTokenResponse> {
    const body = { description: '', ttlMs: 0, ...token };
    return this.#call('createAccessToken', { body, repeat: 'once', ...options });
  }

  tokens(options: CallOptions = {}): Promise<AccessTokenListResponse> {
    return this.#call('accessTokenList', { body: {}, repeat: 'read', ...options });
  }

  async revokeToken(token: { readonly id: string }, options: CallOptions = {}): Promise<void> {
    await this.#call('revokeAccessToken', { body: token, repeat: 'once', ...options });
  }

  #call<Response extends object>(
    method: string,
    options: {
      readonly body: object;
      readonly repeat: 'read' | 'once';
      readonly to?: string;
      readonly timeoutMs?: number;
    },
  ): Promise<Response> {
    return this.#dispatcher.request<Response>({ service: 'holdfast.v1.Access', method, ...options });
  }
}
