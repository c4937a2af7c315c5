import type {
  AccessTokenListResponse,
  CreateAccessTokenResponse,
  ExplainPolicyResponse,
  LoginResponse,
  PolicyListResponse,
  UserListResponse,
  WhoAmIResponse,
} from '../proto/access.ts';
import type { Policy } from '../proto/storage.ts';
import type { CallOptions } from './clusterClient.ts';
import type { Dispatcher } from './dispatcher.ts';
import { type Bytes, toBytes } from './keys.ts';

/** Who may do what: roles, and access tokens and users that have them. Every method throws HoldfastError. */
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

  /** `who`: the id of an access token, a role, or a user; `action`: a capability, or `admin:` and an area, which has no key. */
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

  /** A session of a user, to be shown as an access token is. Asked by who is nobody yet; wipe the password afterwards. */
  login(
    user: { readonly name: string; readonly password: Bytes },
    options: CallOptions = {},
  ): Promise<LoginResponse> {
    const body = { name: user.name, password: toBytes(user.password) };
    return this.#call('login', { body, repeat: 'once', to: 'any', ...options });
  }

  /** The session that this client shows is over, on every node. */
  async logout(options: CallOptions = {}): Promise<void> {
    await this.#call('logout', { body: {}, repeat: 'once', ...options });
  }

  /** Of the user whose session this client shows. It is over then, with all others of his. */
  async changePassword(
    passwords: { readonly oldPassword: Bytes; readonly newPassword: Bytes },
    options: CallOptions = {},
  ): Promise<void> {
    const [oldPassword, newPassword] = [toBytes(passwords.oldPassword), toBytes(passwords.newPassword)];
    await this.#call('changePassword', { body: { oldPassword, newPassword }, repeat: 'once', ...options });
  }

  async createUser(
    user: { readonly name: string; readonly password: Bytes; readonly roles: readonly string[] },
    options: CallOptions = {},
  ): Promise<void> {
    const body = { ...user, password: toBytes(user.password) };
    await this.#call('createUser', { body, repeat: 'once', ...options });
  }

  async deleteUser(user: { readonly name: string }, options: CallOptions = {}): Promise<void> {
    await this.#call('deleteUser', { body: user, repeat: 'once', ...options });
  }

  /** Of another user, all of whose sessions are over then. */
  async setPassword(
    user: { readonly name: string; readonly password: Bytes },
    options: CallOptions = {},
  ): Promise<void> {
    const body = { name: user.name, password: toBytes(user.password) };
    await this.#call('setPassword', { body, repeat: 'once', ...options });
  }

  /** In place of the roles that the user has. */
  async setRoles(
    user: { readonly name: string; readonly roles: readonly string[] },
    options: CallOptions = {},
  ): Promise<void> {
    await this.#call('setUserRoles', { body: user, repeat: 'once', ...options });
  }

  users(options: CallOptions = {}): Promise<UserListResponse> {
    return this.#call('userList', { body: {}, repeat: 'read', ...options });
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
