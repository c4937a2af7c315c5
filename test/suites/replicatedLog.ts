import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { present } from '../../src/base/assert.ts';
import { systemClock } from '../../src/base/clock.ts';
import type { NodeId } from '../../src/base/ids.ts';
import type { CommittedEntry, ReplicatedLog } from '../../src/replication/replicatedLog.ts';
import { waitFor } from '../replication/transport/waitFor.ts';

export interface LogNode {
  readonly nodeId: NodeId;
  readonly log: ReplicatedLog;
  /** Everything that its state machine was given, in order, since it was started. */
  readonly entries: readonly CommittedEntry[];
  /** What its state machine was told last; live. */
  readonly leadership: { readonly isLeader: boolean; readonly leader: NodeId | null; readonly term: number };
}

/** Three nodes, started, with state machines that only remember. */
export interface LogUnderTest {
  nodes(): readonly LogNode[];
  /** Stops a node without a word to the others. */
  stop(nodeId: NodeId): Promise<void>;
  close(): Promise<void>;
}

const BARRIER_MS = 5_000;

/** What every implementation of ReplicatedLog must do, whatever engine it stands on. */
export function replicatedLogSuite(name: string, open: () => Promise<LogUnderTest>): void {
  describe(`replicated log: ${name}`, () => {
    let cluster: LogUnderTest;

    beforeEach(async () => {
      cluster = await open();
    });

    afterEach(async () => {
      await cluster.close();
    });

    const deadline = (): number => systemClock.monotonicMs() + BARRIER_MS;

    async function leader(): Promise<LogNode> {
      const agreed = (): LogNode | undefined => {
        const nodes = cluster.nodes();
        const found = nodes.find(({ leadership }) => leadership.isLeader);
        return nodes.every(({ leadership }) => leadership.leader === found?.nodeId) ? found : undefined;
      };
      await waitFor(() => agreed() !== undefined);
      return present(agreed(), 'leader');
    }

    async function propose(text: string): Promise<{ index: number; term: number }> {
      const node = await leader();
      const outcome = node.log.propose(() => Buffer.from(text));
      if (!('place' in outcome)) throw new Error(`refused: ${outcome.refused}`);
      return outcome.place;
    }

    async function appliedEverywhere(index: number): Promise<void> {
      await waitFor(() => cluster.nodes().every(({ entries }) => (entries.at(-1)?.index ?? 0) >= index));
    }

    test('every node is given the same entries, each index once, without a gap', async () => {
      for (let i = 0; i < 40; i += 1) await propose(`v${i}`);
      const last = await propose('last');
      await appliedEverywhere(last.index);
      const seen = cluster
        .nodes()
        .map(({ entries }) =>
          entries
            .filter(({ index }) => index <= last.index)
            .map(
              ({ index, term, type, payload }) =>
                `${index}/${term} ${type} ${Buffer.from(payload).toString()}`,
            ),
        );
      expect(seen[1]).toEqual(seen[0]);
      expect(seen[2]).toEqual(seen[0]);
      for (const { entries } of cluster.nodes()) {
        for (const [i, entry] of entries.entries()) expect(entry.index).toBe((entries[0]?.index ?? 0) + i);
      }
    });

    test('the seal is asked once, for the place that the entry then has', async () => {
      const node = await leader();
      const asked: string[] = [];
      const places = Array.from({ length: 20 }, () => {
        const outcome = node.log.propose((place) => {
          asked.push(`${place.index}/${place.term}`);
          return Buffer.from(`${place.index}/${place.term}`);
        });
        if (!('place' in outcome)) throw new Error(`refused: ${outcome.refused}`);
        return outcome.place;
      });
      const last = present(places.at(-1), 'last place');
      await appliedEverywhere(last.index);
      expect(asked).toEqual(places.map(({ index, term }) => `${index}/${term}`));
      for (const { entries } of cluster.nodes()) {
        for (const { type, payload, index, term } of entries) {
          if (type === 'normal') expect(Buffer.from(payload).toString()).toBe(`${index}/${term}`);
        }
      }
    });

    test('only the leader takes proposals, and a refused one is never sealed', async () => {
      const { nodeId } = await leader();
      for (const { log } of cluster.nodes().filter((node) => node.nodeId !== nodeId)) {
        let sealed = false;
        const outcome = log.propose(() => {
          sealed = true;
          return Buffer.alloc(0);
        });
        expect(outcome).toEqual({ refused: 'notLeader' });
        expect(sealed).toBe(false);
      }
    });

    test('a read barrier of any node covers what was applied anywhere before it was asked for', async () => {
      for (let i = 0; i < 5; i += 1) {
        const place = await propose(`v${i}`);
        const node = await leader();
        await waitFor(() => (node.entries.at(-1)?.index ?? 0) >= place.index);
        const barriers = cluster.nodes().map(({ log }) => log.readBarrier(deadline()));
        for (const index of await Promise.all(barriers)) expect(index).toBeGreaterThanOrEqual(place.index);
      }
    });

    test('many read barriers at once are all answered', async () => {
      await propose('v');
      const { log } = await leader();
      const barriers = await Promise.all(Array.from({ length: 2_000 }, () => log.readBarrier(deadline())));
      expect(barriers).toHaveLength(2_000);
    });

    test('a barrier whose deadline has passed is refused', async () => {
      const { log } = await leader();
      const past = systemClock.monotonicMs() - 1;
      await expect(log.readBarrier(past)).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    });

    test('a change of members comes in order with the entries, with the configuration that it makes', async () => {
      const node = await leader();
      const gone = present(
        cluster.nodes().find(({ nodeId }) => nodeId !== node.nodeId),
        'another node',
      );
      await propose('before');
      let place: { index: number } | null = null;
      await waitFor(() => {
        const change = [{ kind: 'remove', nodeId: gone.nodeId }] as const;
        const outcome = node.log.proposeMembership(change, ({ index }) => Buffer.from(`for ${index}`));
        if ('place' in outcome) place = outcome.place;
        return place !== null;
      });
      const { index } = present<{ index: number }>(place, 'place');
      await waitFor(() => node.entries.some((entry) => entry.index === index));
      const entry = present(
        node.entries.find((each) => each.index === index),
        'entry',
      );
      expect(entry.type).toBe('configuration');
      expect(entry.change?.changes).toEqual([{ kind: 'remove', nodeId: gone.nodeId }]);
      expect(Buffer.from(entry.change?.context ?? []).toString()).toBe(`for ${index}`);
      expect(entry.configuration.voters).not.toContain(gone.nodeId);
      const again = node.log.proposeMembership([{ kind: 'remove', nodeId: gone.nodeId }], () =>
        Buffer.alloc(0),
      );
      expect(again).toHaveProperty('refused');
    });

    test('what was applied anywhere is still there after the leader is gone', async () => {
      const first = await leader();
      const place = await propose('kept');
      await waitFor(() => (first.entries.at(-1)?.index ?? 0) >= place.index);
      await cluster.stop(first.nodeId);
      const second = await leader();
      expect(second.nodeId).not.toBe(first.nodeId);
      const index = await second.log.readBarrier(deadline());
      expect(index).toBeGreaterThan(place.index);
      await appliedEverywhere(index);
      for (const { entries } of cluster.nodes()) {
        const kept = entries.find((entry) => entry.index === place.index);
        expect(kept?.term).toBe(place.term);
        expect(Buffer.from(kept?.payload ?? []).toString()).toBe('kept');
      }
    });

    test('leadership goes where it is sent', async () => {
      await propose('v');
      const { nodeId, log } = await leader();
      const target = present(
        cluster.nodes().find((node) => node.nodeId !== nodeId),
        'another node',
      );
      log.transferLeadership(target.nodeId);
      await waitFor(() => target.leadership.isLeader);
    });

    test('a closed log takes nothing', async () => {
      const { nodeId, log } = await leader();
      const waiting = log.readBarrier(deadline()).catch((error: unknown) => error);
      await cluster.stop(nodeId);
      expect(log.propose(() => Buffer.alloc(0))).toEqual({ refused: 'stopped' });
      await expect(log.readBarrier(deadline())).rejects.toMatchObject({ code: 'UNAVAILABLE' });
      const outcome = await waiting;
      if (typeof outcome !== 'number') expect(outcome).toMatchObject({ code: 'UNAVAILABLE' });
    });
  });
}
