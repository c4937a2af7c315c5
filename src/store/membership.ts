import { present } from '../base/assert.ts';
import { HoldfastError } from '../base/errors.ts';
import {
  type AuthorityRow,
  authorityRowCodec,
  type Bootstrap,
  type Member,
  memberRowCodec,
  removedRowCodec,
  type StoredConfiguration,
} from '../proto/storage.ts';
import { type AuthorityStep, afterStep } from './authorityRotation.ts';
import { plaintextOf, type Row, type RowPlace } from './row.ts';
import type { RowChanges } from './rowChanges.ts';

const NOBODY: StoredConfiguration = {
  voters: [],
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
};

/** Who belongs to the cluster, who once did, and the authority that certifies them. */
export class Membership {
  readonly #changes: RowChanges;
  readonly #members = new Map<string, { readonly row: Row; readonly member: Member }>();
  readonly #removed = new Set<string>();
  #authority: { readonly row: Row; readonly authority: AuthorityRow } | null = null;
  /** As the log has it; kept in the head row. */
  configuration: StoredConfiguration = NOBODY;

  constructor(changes: RowChanges) {
    this.#changes = changes;
  }

  get authority(): AuthorityRow | null {
    return this.#authority?.authority ?? null;
  }

  /** The log index of the last change of the authority; 0 before the bootstrap. */
  get authorityIndex(): number {
    return this.#authority?.row.number ?? 0;
  }

  get members(): readonly Member[] {
    return [...this.#members.values()].map(({ member }) => member);
  }

  member(nodeId: string): Member | null {
    return this.#members.get(nodeId)?.member ?? null;
  }

  isRemoved(nodeId: string): boolean {
    return this.#removed.has(nodeId);
  }

  /** The authority and the first member. @throws HoldfastError INVALID_ARGUMENT when there is an authority already */
  bootstrap(bootstrap: Bootstrap, { index, sub }: { index: number; sub: number }): void {
    if (this.#authority !== null) {
      throw new HoldfastError('INVALID_ARGUMENT', 'this store was bootstrapped before', {
        field: 'bootstrap',
      });
    }
    const { authorityCertificate: certificate, authorityPrivateKey: privateKey } = bootstrap;
    this.#putAuthority({ certificate, privateKey }, { index, sub });
    this.#putMember(present(bootstrap.member, 'checked member'), { table: 'm', number: index, sub });
  }

  /** One step of the change of the CA. @throws HoldfastError INVALID_ARGUMENT when it is not its turn */
  rotate(step: AuthorityStep, place: { index: number; sub: number }): void {
    const known = this.#authority;
    if (known === null) throw new HoldfastError('INVALID_ARGUMENT', 'there is no authority to change yet');
    const changed = afterStep(known.authority, step, this.members);
    this.#changes.drop(known.row);
    this.#putAuthority(changed, place);
  }

  /** A change of the configuration, with the details of the member it is about and the ids that are gone for good. */
  reconfigure(
    change: {
      readonly configuration: StoredConfiguration;
      readonly removed: readonly string[];
      readonly member: Member | null;
    },
    index: number,
  ): void {
    this.configuration = ownConfiguration(change.configuration);
    if (change.member !== null) this.#putMember(change.member, { table: 'm', number: index, sub: 0 });
    // A row's place is in the digest, and a member table is in another order after a restart.
    for (const [sub, nodeId] of change.removed.toSorted().entries())
      this.#remove(nodeId, { table: 'x', number: index, sub });
  }

  loadAuthority(row: Row, encoded: Buffer): void {
    if (this.#authority !== null) {
      throw new HoldfastError('STATE_CORRUPT', 'the state holds more than one authority (table s)');
    }
    const authority = ownAuthority(authorityRowCodec.decode(plaintextOf(encoded)));
    this.#authority = { row: this.#changes.loaded(row), authority };
  }

  loadMember(row: Row, encoded: Buffer): void {
    const member = present(memberRowCodec.decode(plaintextOf(encoded)).member, 'member of a stored row');
    this.#members.set(member.nodeId, { row: this.#changes.loaded(row), member: ownMember(member) });
  }

  loadRemoved(row: Row, encoded: Buffer): void {
    this.#changes.loaded(row);
    this.#removed.add(removedRowCodec.decode(plaintextOf(encoded)).nodeId);
  }

  #putAuthority(given: AuthorityRow, { index, sub }: { index: number; sub: number }): void {
    const authority = ownAuthority(given);
    const row = this.#changes.create({ table: 's', number: index, sub }, authorityRowCodec.encode(authority));
    this.#authority = { row, authority };
  }

  #putMember(given: Member, place: RowPlace): void {
    const member = ownMember(given);
    const before = this.#members.get(member.nodeId);
    if (before !== undefined) this.#changes.drop(before.row);
    const row = this.#changes.create(place, memberRowCodec.encode({ member }));
    this.#members.set(member.nodeId, { row, member });
  }

  #remove(nodeId: string, place: RowPlace): void {
    const known = this.#members.get(nodeId);
    if (known !== undefined) {
      this.#changes.drop(known.row);
      this.#members.delete(nodeId);
    }
    if (this.#removed.has(nodeId)) return;
    this.#changes.create(place, removedRowCodec.encode({ nodeId }));
    this.#removed.add(nodeId);
  }
}

/** Unpooled memory of its own: some of it is a private key. */
function ownBytes(bytes: Uint8Array): Buffer {
  const own = Buffer.alloc(bytes.length);
  own.set(bytes);
  return own;
}

function ownAuthority({ certificate, privateKey, rotation }: AuthorityRow): AuthorityRow {
  const own = { certificate: ownBytes(certificate), privateKey: ownBytes(privateKey) };
  if (!rotation) return own;
  const other = { certificate: ownBytes(rotation.certificate), privateKey: ownBytes(rotation.privateKey) };
  return { ...own, rotation: other };
}

function ownMember({ nodeId, name, peerAddress, apiAddress, wantedRole }: Member): Member {
  return { nodeId, name, peerAddress, apiAddress, wantedRole };
}

/** A configuration that shares nothing with what it was decoded from. */
export function ownConfiguration(given: StoredConfiguration): StoredConfiguration {
  const { voters, votersOutgoing, learners, learnersNext, autoLeave } = given;
  return {
    voters: [...voters],
    votersOutgoing: [...votersOutgoing],
    learners: [...learners],
    learnersNext: [...learnersNext],
    autoLeave,
  };
}
