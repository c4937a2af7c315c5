import type { Clock } from '../base/clock.ts';
import { HoldfastError } from '../base/errors.ts';
import type { NodeId } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import type { Sealer } from '../envelope/sealer.ts';
import type { Member } from '../proto/storage.ts';
import type { Configuration, MemberChange, RaftStatus } from '../replication/raft/types.ts';
import type { MembershipRefusal, ReplicatedLog } from '../replication/replicatedLog.ts';
import { sealContext } from './entryPayload.ts';

export interface MembershipParts {
  readonly log: () => ReplicatedLog;
  readonly sealer: Sealer;
  readonly clock: Clock;
  readonly stampMs: () => number;
  readonly members: () => readonly Member[];
  /** Other keys are on their way through the log: nothing is sealed until it is known which ones count. */
  readonly isDeciding: () => boolean;
}

interface Waiting {
  readonly settled: (configuration: Configuration) => boolean;
  readonly deadlineMs: number;
  readonly resolve: () => void;
  readonly reject: (error: HoldfastError) => void;
}

const REFUSALS: Readonly<
  Record<
    MembershipRefusal,
    {
      code: 'NOT_LEADER' | 'MEMBERSHIP_CHANGE_PENDING' | 'OVERLOADED' | 'INVALID_ARGUMENT' | 'UNAVAILABLE';
      hint: string;
    }
  >
> = {
  notLeader: { code: 'NOT_LEADER', hint: 'ask the leader' },
  transferring: { code: 'NOT_LEADER', hint: 'the leader is handing over; try again' },
  pending: { code: 'MEMBERSHIP_CHANGE_PENDING', hint: 'wait for it, then try again' },
  overloaded: { code: 'OVERLOADED', hint: 'try again' },
  invalid: { code: 'INVALID_ARGUMENT', hint: 'see holdfast member list' },
  stopped: { code: 'UNAVAILABLE', hint: 'use another node' },
};

/** Changes of members: each a joint configuration that is left by itself, awaited until it is. */
export class Membership {
  readonly #parts: MembershipParts;
  #waiting: Waiting[] = [];

  constructor(parts: MembershipParts) {
    this.#parts = parts;
  }

  /**
   * A member by id or name.
   * @throws HoldfastError MEMBER_UNKNOWN; INVALID_ARGUMENT for a name that several have
   */
  find(idOrName: string): Member {
    const members = this.#parts.members();
    const byId = members.find((member) => member.nodeId === idOrName);
    if (byId !== undefined) return byId;
    const [found, another] = members.filter((member) => member.name === idOrName);
    if (another !== undefined) {
      throw new HoldfastError('INVALID_ARGUMENT', `more than one member is named ${idOrName}`, {
        field: 'member',
        hint: 'name it by its id: see holdfast member list',
      });
    }
    if (found !== undefined) return found;
    throw new HoldfastError('MEMBER_UNKNOWN', `no member ${JSON.stringify(idOrName)}`, {
      field: 'member',
      hint: 'see holdfast member list',
    });
  }

  /** Adds a new node as a learner; at once when it is a member already. */
  async addLearner(member: Member, deadlineMs: number): Promise<void> {
    const nodeId = member.nodeId as NodeId;
    const { configuration } = this.#parts.log().status();
    if (isMember(configuration, nodeId)) return;
    this.checkRoom(nodeId);
    const change: MemberChange = { kind: 'set', nodeId, role: 'learner' };
    await this.#change({ change, member, deadlineMs }, (now) => now.learners.includes(nodeId));
  }

  /** Whether this node can be a member. @throws HoldfastError INVALID_ARGUMENT when all places are taken by others */
  checkRoom(nodeId: NodeId): void {
    const members = this.#parts.members();
    if (members.length < LIMITS.membersMax || members.some((member) => member.nodeId === nodeId)) return;
    throw new HoldfastError('INVALID_ARGUMENT', `a cluster has at most ${LIMITS.membersMax} members`, {
      field: 'members',
      hint: 'remove one that is gone: holdfast member remove',
    });
  }

  async promote(idOrName: string, deadlineMs: number): Promise<void> {
    const member = this.find(idOrName);
    const nodeId = member.nodeId as NodeId;
    const status = this.#parts.log().status();
    if (status.configuration.voters.includes(nodeId)) return;
    const progress = status.progress.find((one) => one.nodeId === nodeId);
    if (progress !== undefined && !isCaughtUp(status, nodeId)) {
      throw new HoldfastError(
        'MEMBERSHIP_CHANGE_PENDING',
        `${member.name} has not caught up with the log yet`,
        {
          field: 'member',
          hint: 'wait until holdfast member list shows it reachable, then try again',
        },
      );
    }
    if (status.configuration.voters.length >= LIMITS.votersMax) {
      throw new HoldfastError('INVALID_ARGUMENT', `a cluster has at most ${LIMITS.votersMax} voters`, {
        field: 'member',
        hint: 'demote another one first: holdfast member demote',
      });
    }
    const change: MemberChange = { kind: 'set', nodeId, role: 'voter' };
    await this.#change({ change, member: { ...member, wantedRole: 'voter' }, deadlineMs }, (now) =>
      now.voters.includes(nodeId),
    );
  }

  async demote(idOrName: string, deadlineMs: number): Promise<void> {
    const member = this.find(idOrName);
    const nodeId = member.nodeId as NodeId;
    const { configuration } = this.#parts.log().status();
    if (configuration.learners.includes(nodeId)) return;
    this.#refuseWithoutQuorum(nodeId, BRING_BACK);
    this.#handOverFirst(nodeId);
    const change: MemberChange = { kind: 'set', nodeId, role: 'learner' };
    await this.#change({ change, member: { ...member, wantedRole: 'learner' }, deadlineMs }, (now) =>
      now.learners.includes(nodeId),
    );
  }

  /** Takes a member out for good. @throws HoldfastError QUORUM_AT_RISK unless `force` */
  async remove(
    idOrName: string,
    { force, deadlineMs }: { force: boolean; deadlineMs: number },
  ): Promise<void> {
    const member = this.find(idOrName);
    const nodeId = member.nodeId as NodeId;
    if (!force) this.#refuseWithoutQuorum(nodeId, BRING_BACK_OR_FORCE);
    this.#handOverFirst(nodeId);
    const change: MemberChange = { kind: 'remove', nodeId };
    await this.#change({ change, member: null, deadlineMs }, (now) => !isMember(now, nodeId));
  }

  /**
   * A leader does not take itself out: were it gone before the others have left the joint configuration, they might
   * lack the outgoing majority. It hands over, and the client's retry reaches the next leader.
   */
  #handOverFirst(nodeId: NodeId): void {
    const status = this.#parts.log().status();
    if (nodeId !== status.nodeId) return;
    const next = status.progress
      .filter(
        (one) => one.nodeId !== nodeId && one.reachable && status.configuration.voters.includes(one.nodeId),
      )
      .toSorted((left, right) => right.match - left.match)[0];
    if (next === undefined) return;
    this.#parts.log().transferLeadership(next.nodeId);
    throw new HoldfastError('NOT_LEADER', 'the leader hands over before it is taken out', {
      hint: 'try again',
    });
  }

  /** What is left must hold a majority of voters that answer now. */
  #refuseWithoutQuorum(nodeId: NodeId, hint: string): void {
    const status = this.#parts.log().status();
    const rest = status.configuration.voters.filter((voter) => voter !== nodeId);
    const live = rest.filter(
      (voter) =>
        voter === status.nodeId || status.progress.some((one) => one.nodeId === voter && one.reachable),
    );
    if (rest.length > 0 && live.length > Math.floor(rest.length / 2)) return;
    throw new HoldfastError(
      'QUORUM_AT_RISK',
      rest.length === 0
        ? 'the last voter cannot go'
        : `only ${live.length} of the ${rest.length} voters that would be left can be reached`,
      { field: 'member', hint },
    );
  }

  async #change(
    { change, member, deadlineMs }: { change: MemberChange; member: Member | null; deadlineMs: number },
    settled: (configuration: Configuration) => boolean,
  ): Promise<void> {
    if (this.#parts.isDeciding()) {
      throw new HoldfastError('UNAVAILABLE', 'other keys are about to come into force', {
        hint: 'try again in a moment',
      });
    }
    const timeMs = this.#parts.stampMs();
    const proposal = this.#parts
      .log()
      .proposeMembership([change], (place) => sealContext(this.#parts.sealer, { member, timeMs }, place));
    if ('refused' in proposal) {
      const { code, hint } = REFUSALS[proposal.refused];
      throw new HoldfastError(code, `the membership change was not taken: ${proposal.reason}`, { hint });
    }
    await new Promise<void>((resolve, reject) => {
      this.#waiting.push({ settled, deadlineMs, resolve, reject });
    });
  }

  /** Called when a configuration was applied. */
  configurationApplied(configuration: Configuration): void {
    if (configuration.votersOutgoing.length > 0) return;
    const waiting = this.#waiting;
    this.#waiting = waiting.filter((one) => !one.settled(configuration));
    for (const one of waiting) if (one.settled(configuration)) one.resolve();
  }

  /** Called a few times a second. */
  sweep(): void {
    const nowMs = this.#parts.clock.monotonicMs();
    const late = this.#waiting.filter((one) => one.deadlineMs < nowMs);
    this.#waiting = this.#waiting.filter((one) => one.deadlineMs >= nowMs);
    for (const one of late) {
      one.reject(
        new HoldfastError('OUTCOME_UNKNOWN', 'the membership change is not finished yet', {
          hint: 'see holdfast member list; it may still finish by itself',
        }),
      );
    }
  }

  /** Ends every wait; what was proposed may still be done. */
  stop(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const one of waiting) {
      one.reject(
        new HoldfastError('OUTCOME_UNKNOWN', 'this node is stopping; the change may still be done', {
          hint: 'see holdfast member list at another node',
        }),
      );
    }
  }

  /**
   * Makes voters of learners that shall become voters and have caught up; called by the leader now and then, one
   * at a time. What cannot be done now is done at a later call.
   */
  promoteCaughtUp(): void {
    const status = this.#parts.log().status();
    if (status.role !== 'leader' || status.configuration.votersOutgoing.length > 0) return;
    if (status.configuration.voters.length >= LIMITS.votersMax) return;
    const ready = this.#parts
      .members()
      .find(
        (member) =>
          member.wantedRole === 'voter' &&
          status.configuration.learners.includes(member.nodeId as NodeId) &&
          isCaughtUp(status, member.nodeId as NodeId),
      );
    if (ready === undefined) return;
    const timeMs = this.#parts.stampMs();
    this.#parts
      .log()
      .proposeMembership([{ kind: 'set', nodeId: ready.nodeId as NodeId, role: 'voter' }], (place) =>
        sealContext(this.#parts.sealer, { member: ready, timeMs }, place),
      );
  }
}

/** Nobody is demoted by force: it would not help a cluster that lacks a majority. */
const BRING_BACK = 'bring the others back first';
const BRING_BACK_OR_FORCE = `${BRING_BACK}, or remove with --force when they are lost for good`;

function isMember(configuration: Configuration, nodeId: NodeId): boolean {
  return [...configuration.voters, ...configuration.learners, ...configuration.learnersNext].includes(nodeId);
}

function isCaughtUp(status: RaftStatus, nodeId: NodeId): boolean {
  const progress = status.progress.find((one) => one.nodeId === nodeId);
  return (
    progress !== undefined &&
    progress.reachable &&
    progress.state === 'replicate' &&
    progress.match + LIMITS.learnerCatchUpEntriesMax >= status.commit
  );
}
