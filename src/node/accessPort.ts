import { createAccessToken } from '../access/accessToken.ts';
import { BUILT_IN_POLICIES } from '../access/policy/builtInRoles.ts';
import { AREAS, type Area } from '../access/policy/policy.ts';
import { CAPABILITIES } from '../access/policy/ruleTree.ts';
import type { AccessPort, Caller, Holder, Refusal, UserPort } from '../api/ports.ts';
import { HoldfastError } from '../base/errors.ts';
import type { RandomSource } from '../base/random.ts';
import { keyFromBytes } from '../command/keys.ts';
import type {
  AccessTokenListResponse,
  CreateAccessTokenRequest,
  CreateAccessTokenResponse,
  ExplainPolicyRequest,
  ExplainPolicyResponse,
  PolicyListResponse,
  WhoAmIResponse,
} from '../proto/access.ts';
import type { Policy, Principal } from '../proto/storage.ts';
import type { Store } from '../store/store.ts';
import type { Authorisation, Shown } from './authorisation.ts';
import type { Denials } from './denials.ts';
import { outcomeFailure } from './outcome.ts';
import type { Submission, Submit } from './submit.ts';

export interface AccessPortParts {
  readonly store: Store;
  readonly submit: Pick<Submit, 'submit'>;
  readonly authorisation: Authorisation;
  readonly random: RandomSource;
  readonly users: UserPort;
  readonly denials: Pick<Denials, 'note'>;
}

const NOTHING = Buffer.alloc(0);
const ADMIN = 'admin:';
const ACTIONS = [...CAPABILITIES, ...AREAS.map((area) => `${ADMIN}${area}`)];

/** Roles and access tokens as the API sees them. */
export class NodeAccessPort implements AccessPort {
  readonly users: UserPort;
  readonly #parts: AccessPortParts;

  constructor(parts: AccessPortParts) {
    this.#parts = parts;
    this.users = parts.users;
  }

  holderOf(token: string, shown: Shown): Promise<Holder> {
    return this.#parts.authorisation.holderOf(token, shown);
  }

  isKnown(principal: Principal): boolean {
    return this.#parts.authorisation.isKnown(principal);
  }

  refused(refusal: Refusal): void {
    this.#parts.denials.note({ ...refusal, action: 'access.denied', resource: NOTHING });
  }

  requireArea(caller: Caller, area: Area): Promise<void> {
    return this.#parts.authorisation.requireArea(caller, area);
  }

  whoAmI({ principal, sessionEndMs }: Caller): Promise<WhoAmIResponse> {
    const { kind, name, address } = principal;
    const { access } = this.#parts.store;
    const token = kind === 'token' ? access.token(name) : null;
    const holder = kind === 'user' ? access.users.get(name) : token;
    const roles = kind === 'client' ? ['admin'] : (holder?.roles ?? []);
    return Promise.resolve({ kind, name, address, roles, expiresMs: sessionEndMs ?? token?.expiresMs ?? 0 });
  }

  putPolicy(caller: Caller, policy: Policy): Promise<void> {
    return this.#command(caller, { principal: caller.principal, putPolicy: { policy } });
  }

  deletePolicy(caller: Caller, deletePolicy: { readonly role: string }): Promise<void> {
    return this.#command(caller, { principal: caller.principal, deletePolicy });
  }

  async policyList(caller: Caller): Promise<PolicyListResponse> {
    await this.#parts.authorisation.requireAreaCaughtUp(caller, 'access');
    return { policies: this.#parts.store.access.policies, builtIn: BUILT_IN_POLICIES.length };
  }

  async explainPolicy(caller: Caller, request: ExplainPolicyRequest): Promise<ExplainPolicyResponse> {
    await this.#parts.authorisation.requireAreaCaughtUp(caller, 'access');
    const { who, action } = request;
    if (!ACTIONS.includes(action)) {
      throw new HoldfastError('INVALID_ARGUMENT', 'action is none that there is', {
        field: 'action',
        hint: `any of ${ACTIONS.join(', ')}`,
      });
    }
    const name = action.startsWith(ADMIN) ? null : keyFromBytes(request.key);
    return this.#parts.store.access.explain({ who, what: action.replace(ADMIN, ''), name });
  }

  async createAccessToken(
    caller: Caller,
    request: CreateAccessTokenRequest,
  ): Promise<CreateAccessTokenResponse> {
    const { store, random } = this.#parts;
    const { text, id, secretHash } = createAccessToken(random);
    const { description, roles, ttlMs } = request;
    await this.#command(caller, {
      principal: caller.principal,
      createAccessToken: { id, secretHash, description, roles, ttlMs },
    });
    return { token: text, id, expiresMs: store.access.token(id)?.expiresMs ?? 0 };
  }

  async accessTokenList(caller: Caller): Promise<AccessTokenListResponse> {
    const { store, authorisation } = this.#parts;
    await authorisation.requireAreaCaughtUp(caller, 'access');
    const nowMs = store.logTimeMs;
    return {
      tokens: store.access.tokens.map(({ secretHash: _secret, createdBy, ...token }) => ({
        ...token,
        expired: token.expiresMs !== 0 && nowMs >= token.expiresMs,
        createdBy: createdBy ? `${createdBy.kind} ${createdBy.name}` : '',
      })),
    };
  }

  revokeAccessToken(caller: Caller, revokeAccessToken: { readonly id: string }): Promise<void> {
    return this.#command(caller, { principal: caller.principal, revokeAccessToken });
  }

  async #command(caller: Caller, submission: Submission): Promise<void> {
    const failure = outcomeFailure(await this.#parts.submit.submit(submission, caller.deadlineMs));
    if (failure !== null) throw failure;
  }
}
