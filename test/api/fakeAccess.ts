import type { AccessPort, Caller, Holder, Refusal } from '../../src/api/ports.ts';
import { HoldfastError } from '../../src/base/errors.ts';
import type {
  AccessTokenStatus,
  CreateAccessTokenRequest,
  ExplainPolicyRequest,
} from '../../src/proto/access.ts';
import type { Policy, Principal } from '../../src/proto/storage.ts';
import { FakeUsers } from './fakeUsers.ts';

/** A fake of what decides who may do what: whoever has a certificate administers everything, whoever has a token nothing. */
export class FakeAccess implements AccessPort {
  /** Ids by what is shown. */
  readonly tokens = new Map<string, string>();
  readonly asked: (readonly [method: string, caller: Principal, request: unknown])[] = [];
  readonly refusals: Refusal[] = [];
  policies: readonly Policy[] = [];
  kept: readonly AccessTokenStatus[] = [];
  readonly users = new FakeUsers((method, caller, request) => this.#note(method, caller, request));

  holderOf(token: string): Promise<Holder> {
    const user = this.users.sessions.get(token);
    if (user !== undefined) return Promise.resolve({ principal: { kind: 'user', name: user } });
    const id = this.tokens.get(token);
    if (id === undefined) return Promise.reject(new HoldfastError('UNAUTHENTICATED', 'no such token'));
    return Promise.resolve({ principal: { kind: 'token', name: id } });
  }

  isKnown({ kind, name }: Principal): boolean {
    return kind !== 'token' || [...this.tokens.values()].includes(name);
  }

  refused(refusal: Refusal): void {
    this.refusals.push(refusal);
  }

  requireArea({ principal }: Caller, area: string): Promise<void> {
    if (principal.kind === 'client') return Promise.resolve();
    return Promise.reject(new HoldfastError('PERMISSION_DENIED', `no role allows admin: ${area}`));
  }

  whoAmI({ principal }: Caller) {
    return Promise.resolve({ ...principal, roles: ['viewer'], expiresMs: 0 });
  }

  putPolicy(caller: Caller, policy: Policy) {
    return this.#note('putPolicy', caller, policy);
  }

  deletePolicy(caller: Caller, request: { readonly role: string }) {
    return this.#note('deletePolicy', caller, request);
  }

  policyList() {
    return Promise.resolve({ policies: this.policies, builtIn: 0 });
  }

  async explainPolicy(caller: Caller, request: ExplainPolicyRequest) {
    await this.#note('explainPolicy', caller, request);
    return { allowed: true, pattern: 'a/**', roles: ['viewer'], capabilities: ['read'] };
  }

  async createAccessToken(caller: Caller, request: CreateAccessTokenRequest) {
    await this.#note('createAccessToken', caller, request);
    return { token: 'hft_x', id: '0123456789abcdef', expiresMs: 0 };
  }

  accessTokenList() {
    return Promise.resolve({ tokens: this.kept });
  }

  revokeAccessToken(caller: Caller, request: { readonly id: string }) {
    return this.#note('revokeAccessToken', caller, request);
  }

  #note(method: string, { principal }: Caller, request: unknown): Promise<void> {
    this.asked.push([method, principal, request]);
    return Promise.resolve();
  }
}
