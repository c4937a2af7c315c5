import { present } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { ControlKey } from '../envelope/controlKey.ts';
import type { Member } from '../proto/storage.ts';
import { trustedCertificates } from '../store/authorityRotation.ts';
import type { Store } from '../store/store.ts';
import { requireGood, requireSameUser } from '../store/tokens.ts';
import type { NodeIdentityFile } from '../trust/identityFile.ts';
import type { JoinPort, TokenClaim } from '../trust/joinService.ts';
import type { ClusterTerms } from '../trust/terms.ts';
import type { CertificateIssuer } from './certificateIssuer.ts';
import type { Leadership } from './leadership.ts';
import type { Membership } from './membership.ts';
import { outcomeFailure } from './outcome.ts';
import type { Read } from './read.ts';
import type { Submit } from './submit.ts';

export interface JoinPortParts {
  readonly identity: NodeIdentityFile;
  readonly store: Pick<Store, 'authority' | 'members' | 'member' | 'token' | 'logTimeMs'>;
  readonly submit: Pick<Submit, 'submit'>;
  readonly read: Pick<Read, 'linearizable'>;
  readonly membership: Pick<Membership, 'addLearner' | 'checkRoom'>;
  readonly leadership: Pick<Leadership, 'isLeader' | 'leader'>;
  /** Log time as of now, while this node leads. */
  readonly stampMs: () => number;
  readonly storedKeyring: () => Uint8Array;
  readonly terms: () => ClusterTerms;
  readonly controlKey: () => ControlKey;
  readonly issuer: Pick<CertificateIssuer, 'issue'>;
  readonly clock: Clock;
}

/** What joining nodes are given, and by whose word: the token's entry in the log. */
export function createJoinPort(parts: JoinPortParts): JoinPort {
  const { identity, store, submit, membership, leadership, clock } = parts;
  const deadlineMs = (): number => clock.monotonicMs() + LIMITS.requestTimeoutMs;
  return {
    clusterId: identity.clusterId,
    storeId: identity.storeId,
    authorities: () => trustedCertificates(present(store.authority, 'cluster authority')),
    isLeader: () => leadership.isLeader,
    leaderPeerAddress: (token) => (isGoodHere(store, token) ? leaderPeerAddress(parts) : null),
    checkToken: async (token) => {
      // A leader that has just been elected may not have applied the token's entry yet.
      await parts.read.linearizable(deadlineMs());
      requireGood(store.token(token.id), token, parts.stampMs());
    },
    checkTokenUse: (use) => requireSameUser(requireGood(store.token(use.id), use, parts.stampMs()), use),
    checkRoom: (nodeId) => membership.checkRoom(nodeId),
    useToken: async (use) => {
      const outcome = await submit.submit(
        { principal: { kind: 'node', name: use.nodeId, address: '' }, useToken: use },
        deadlineMs(),
      );
      const failure = outcomeFailure(outcome);
      if (failure !== null) throw failure;
      return { role: present(outcome.token, 'token outcome').role };
    },
    issue: (request) => parts.issuer.issue(request),
    addLearner: (member: Member) => membership.addLearner(member, deadlineMs()),
    members: () => store.members,
    keyring: parts.storedKeyring,
    terms: parts.terms,
    controlKey: parts.controlKey,
  };
}

/** host:port, for those who have to ask the leader; null when this node does not know. */
export function leaderPeerAddress({
  leadership,
  store,
}: Pick<JoinPortParts, 'leadership' | 'store'>): string | null {
  const { leader } = leadership;
  return leader === null ? null : (store.member(leader)?.peerAddress ?? null);
}

/** By the state as this node has it, which may be behind the leader's. */
function isGoodHere(store: Pick<Store, 'token' | 'logTimeMs'>, claim: TokenClaim): boolean {
  try {
    requireGood(store.token(claim.id), claim, store.logTimeMs);
    return true;
  } catch (thrown) {
    if (thrown instanceof HoldfastError) return false;
    throw thrown;
  }
}
