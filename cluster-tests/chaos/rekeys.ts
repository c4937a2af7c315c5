import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { KeyChangeStatus, StatusResponse } from '../../src/client/index.ts';
import type { KeyId } from '../../src/envelope/format.ts';
import type { Keyring } from '../../src/envelope/keyring.ts';
import { openKeyring } from '../../src/envelope/keyringForm.ts';
import { loadControlKeys } from '../../src/envelope/keySources.ts';
import { scanForEnvelopes } from '../../src/node/keyChange/scan.ts';
import { waitFor } from '../faultProxy/waitFor.ts';
import type { ClusterNode } from '../localCluster.ts';
import { until } from '../until.ts';
import type { HoldfastTarget } from './holdfastTarget.ts';

const POLL_MS = 200;
/** Every member has to take part: one that a fault holds, or that pulls a snapshot, holds it up. */
const FINISHED_WITHIN_MS = 300_000;
/** Members come back, and take the former key out of their files. */
const CLEAN_WITHIN_MS = 120_000;
const CALL_TIMEOUT_MS = 5_000;

/** What a node names in its warning: files that it has set aside itself, and leaves to its operator. */
const LEFT_OVER = /still under old keys, in (.+?);/;
const SET_ASIDE = /^(?:wal\/[^/]+\.damaged|state\/(?:damaged|diverged)-\d+)/;

/**
 * The operator of a cluster whose control key changes all the time: begins a rekey, confirms it when every member has the
 * new key, deletes what nodes have set aside, waits for the end, and looks at every disk.
 */
export class Rekeys {
  readonly #target: HoldfastTarget;
  readonly #say: { readonly note: (text: string) => void; readonly violation: (text: string) => void };
  /** Data keys that no envelope may name any more, on any disk. */
  readonly #retired = new Set<KeyId>();
  #active: KeyId | null = null;
  #finished = 0;
  #running: Promise<void> | null = null;
  #isPaused = false;

  constructor(
    target: HoldfastTarget,
    say: { readonly note: (text: string) => void; readonly violation: (text: string) => void },
  ) {
    this.#target = target;
    this.#say = say;
  }

  get finished(): number {
    return this.#finished;
  }

  start(): void {
    this.#isPaused = false;
    this.#running ??= this.#run();
  }

  /** Ends the one that is under way; after it none begins. */
  async pause(): Promise<void> {
    this.#isPaused = true;
    await this.#running;
    this.#running = null;
  }

  async #run(): Promise<void> {
    try {
      while (!this.#isPaused) await this.#one();
    } catch (thrown) {
      this.#isPaused = true;
      this.#say.violation(
        `rekey: ${thrown instanceof Error ? thrown.message : String(thrown)}\n${this.#target.lastWords()}`,
      );
    }
  }

  async #one(): Promise<void> {
    this.#active ??= await this.#onlyKey('');
    let seen: KeyChangeStatus | null = null;
    let id = '';
    await until(
      FINISHED_WITHIN_MS,
      () => `a rekey to be finished; last seen: ${JSON.stringify(seen)}`,
      async () => {
        await waitFor(POLL_MS);
        const statuses = await this.#target.statuses();
        seen = statuses.find(({ role }) => role === 'leader')?.keyChange ?? seen;
        this.#deleteLeftOvers(statuses);
        if (seen === null || isOver(seen)) {
          if (id !== '' && seen?.id === id) return true;
          if (id === '' && this.#isPaused) return true;
          await this.#begin();
          return false;
        }
        id = seen.id;
        await this.#confirm(seen);
        return false;
      },
    );
    if (id === '') return;
    const fingerprint = (seen as KeyChangeStatus | null)?.newFingerprint ?? '';
    this.#retired.add(this.#active);
    this.#active = await this.#onlyKey(fingerprint);
    await this.#untilNothingIsLeft();
    this.#finished += 1;
    this.#say.note(`rekey ${this.#finished} is finished`);
  }

  async #begin(): Promise<void> {
    await this.#asClient((client) =>
      client.cluster.beginKeyChange(
        { kind: 'rekey', encryption: '', source: 'file' },
        { timeoutMs: CALL_TIMEOUT_MS },
      ),
    );
  }

  async #confirm({ id, phase, confirmed, members, newFingerprint }: KeyChangeStatus): Promise<void> {
    if (phase !== 'preparing' || confirmed || newFingerprint === '') return;
    if (!members.every(({ proved }) => proved)) return;
    await this.#asClient((client) =>
      client.cluster.confirmKeyChange({ id, newFingerprint }, { timeoutMs: CALL_TIMEOUT_MS }),
    );
  }

  /** What it throws counts as not yet: what was done is seen in the next status. */
  async #asClient(
    call: (client: Awaited<ReturnType<HoldfastTarget['cluster']['client']>>) => Promise<unknown>,
  ): Promise<void> {
    const client = await this.#target.cluster.client(undefined, CALL_TIMEOUT_MS);
    try {
      await call(client);
    } finally {
      await client.close();
    }
  }

  #deleteLeftOvers(statuses: readonly StatusResponse[]): void {
    for (const { name, warnings, log } of statuses) {
      const named = warnings.map((warning) => LEFT_OVER.exec(warning)?.[1] ?? '').join(', ');
      const roots = named.split(', ').flatMap((path) => SET_ASIDE.exec(path)?.[0] ?? []);
      if (roots.length === 0 || log?.suspect === true) continue;
      const { dataDir } = this.#target.cluster.node(name);
      for (const root of new Set(roots)) {
        this.#say.note(`${name}: ${root} is deleted, since it is under old keys`);
        rmSync(join(dataDir, root), { recursive: true, force: true });
      }
    }
  }

  /** The one data key that all members have, with no other control key in any key file than this one; empty: whichever. */
  async #onlyKey(fingerprint: string): Promise<KeyId> {
    let found: KeyId | undefined;
    let seen = '';
    await until(
      CLEAN_WITHIN_MS,
      () => `one control key and one data key everywhere (${seen})`,
      () => {
        const held = this.#target.members().map((name) => keysOf(this.#target.cluster.node(name)));
        seen = JSON.stringify(held);
        const [first] = held;
        found = first?.keyIds[0];
        return (
          first !== undefined &&
          (fingerprint === '' || first.fingerprints.join() === fingerprint) &&
          held.every(
            ({ fingerprints, keyIds }) =>
              fingerprints.join() === first.fingerprints.join() && keyIds.join() === found,
          )
        );
      },
    );
    return found as KeyId;
  }

  async #untilNothingIsLeft(): Promise<void> {
    let left: readonly string[] = [];
    await until(
      CLEAN_WITHIN_MS,
      () => `no envelope under a retired key (${left.join(', ')})`,
      async () => {
        const found = await Promise.all(
          this.#target.members().map((name) =>
            scanForEnvelopes(this.#target.cluster.node(name).dataDir, {
              keyIds: this.#retired,
              suite: null,
            }),
          ),
        );
        left = found.flatMap(({ paths }) => paths);
        return left.length === 0;
      },
    );
  }
}

const isOver = ({ phase }: KeyChangeStatus): boolean => phase === 'finished' || phase === 'aborted';

function keysOf({ controlKeyPath, dataDir }: ClusterNode): {
  readonly fingerprints: readonly string[];
  readonly keyIds: readonly KeyId[];
} {
  const { all } = loadControlKeys({ path: controlKeyPath, dataDir: join(dataDir, 'nowhere'), env: {} });
  const keyring: Keyring = openKeyring(readFileSync(join(dataDir, 'keyring')), all);
  const inUse = [...keyring.keys.values()].filter(({ state }) => state !== 'retired');
  return { fingerprints: all.map(({ fingerprint }) => fingerprint), keyIds: inUse.map(({ id }) => id) };
}
