import { timingSafeEqual } from 'node:crypto';
import { present } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { RandomSource } from '../base/random.ts';
import type { Member } from '../proto/storage.ts';
import type { Store } from '../store/store.ts';
import { issueNodeCertificate } from '../trust/certificates.ts';
import type { NodeIdentityFile } from '../trust/identityFile.ts';
import type { JoinPort } from '../trust/joinService.ts';
import { withLoopback } from './certificateHosts.ts';
import type { Leadership } from './leadership.ts';
import type { Membership } from './membership.ts';
import { outcomeFailure } from './outcome.ts';
import type { Read } from './read.ts';
import type { Submit } from './submit.ts';

export interface JoinPortParts {
  readonly identity: NodeIdentityFile;
  /** DER. */
  readonly authorityCertificate: Uint8Array;
  readonly store: Store;
  readonly submit: Submit;
  readonly read: Read;
  readonly membership: Membership;
  readonly leadership: Leadership;
  readonly storedKeyring: () => Uint8Array;
  readonly clock: Clock;
  readonly random: RandomSource;
}

/** What joining nodes are given, and by whose word: the token's entry in the log. */
export function createJoinPort(parts: JoinPortParts): JoinPort {
  const { identity, store, submit, membership, leadership, clock, random } = parts;
  const deadlineMs = (): number => clock.monotonicMs() + LIMITS.requestTimeoutMs;
  return {
    clusterId: identity.clusterId,
    storeId: identity.storeId,
    authorityCertificate: parts.authorityCertificate,
    isLeader: () => leadership.isLeader,
    leaderPeerAddress: () => {
      const { leader } = leadership;
      return leader === null ? null : (store.member(leader)?.peerAddress ?? null);
    },
    checkToken: async (token) => {
      // A leader that has just been elected may not have applied the token's entry yet.
      await parts.read.linearizable(deadlineMs());
      refuseUnknownToken(store, token);
    },
    useToken: async (use) => {
      const outcome = await submit.submit(
        { principal: { kind: 'node', name: use.nodeId, address: '' }, useToken: use },
        deadlineMs(),
      );
      const failure = outcomeFailure(outcome);
      if (failure !== null) throw failure;
      return { role: present(outcome.token, 'token outcome').role };
    },
    issue: ({ csr, nodeId, hosts }) => {
      const authority = present(store.authority, 'cluster authority');
      return issueNodeCertificate({
        authority: {
          certificate: Buffer.from(authority.certificate),
          privateKey: Buffer.from(authority.privateKey),
        },
        clusterId: identity.clusterId,
        csr,
        nodeId,
        names: { hosts: withLoopback(hosts) },
        lifetimeMs: LIMITS.certificateLifetimeMs,
        clock,
        random,
      });
    },
    addLearner: (member: Member) => membership.addLearner(member, deadlineMs()),
    members: () => store.members,
    keyring: parts.storedKeyring,
  };
}

/** Anyone can ask with an invented token: that must not cost an entry of the log. */
function refuseUnknownToken(
  store: Store,
  use: { readonly id: string; readonly secretHash: Uint8Array },
): void {
  const token = store.token(use.id);
  const known = token !== null && token.secretHash.length === use.secretHash.length;
  if (known && timingSafeEqual(token.secretHash, use.secretHash)) return;
  throw new HoldfastError('TOKEN_UNKNOWN', 'the cluster has no such join token', {
    field: 'token',
    hint: 'make a new one with holdfast member add-token',
  });
}
