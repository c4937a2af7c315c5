import { readFileSync } from 'node:fs';
import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { WATERMARK_NAME } from '../../src/replication/wal/watermarkFile.ts';
import { waitFor } from '../faultProxy/waitFor.ts';
import { until } from '../until.ts';
import { comeBack } from './comeBack.ts';
import { type FaultKind, type Injected, OURS } from './faultKind.ts';
import type { HoldfastTarget } from './holdfastTarget.ts';
import { whileKeysStand } from './keysStand.ts';
import { lastRecord, namedRecord } from './logDamage.ts';
import { isSame, standingOf } from './standing.ts';
import type { World } from './target.ts';

type OurWorld = World<HoldfastTarget>;

const OLDER_MS = 3_000;
const CAUGHT_UP_WITHIN_MS = 15_000;
const FOUND_WITHIN_MS = 15_000;

const FOUND_OUT = {
  byItself: 'the log is suspect',
  byLeader: 'the log lacks what it has acknowledged',
} as const;

/**
 * A follower's disk is put back as it was some seconds before, in one of the two ways that are promised to be found:
 * - all but the watermark, which is as it was last: the log ends before it;
 * - all of it, while the same leader leads that has counted what is gone, and goes on to lead until the node is back.
 *   (With another leader nobody is left who would know.)
 */
async function putBack(world: OurWorld): Promise<Injected | null> {
  const leader = await world.target.leader();
  const followers = world.unharmed().filter((name) => name !== leader);
  if (leader === undefined || followers.length === 0) return null;
  const name = world.random.one(followers);
  const withWatermark = world.random.chance(0.5);
  const { dataDir, logPath } = world.target.cluster.node(name);
  const image = `${dataDir}.image`;
  world.expectExit(name);
  await world.target.kill(name);
  await rm(image, { recursive: true, force: true });
  await cp(dataDir, image, { recursive: true });
  const before = standingOf(await world.target.statuses());
  world.target.start(name);
  await waitFor(OLDER_MS);
  const hasMore = before !== null && (await holdsMore(world, name, before.lastIndex));
  await world.target.kill(name);
  const now = standingOf(await world.target.statuses());
  const [imageEnd, named] = [lastRecord(join(image, 'wal')), namedRecord(join(dataDir, 'wal'))];
  const isPromised = hasMore && (withWatermark ? isSame(before, now) : named > imageEnd);
  if (isPromised) {
    const watermark = join('wal', WATERMARK_NAME);
    if (!withWatermark) await cp(join(dataDir, watermark), join(image, watermark));
    await rm(dataDir, { recursive: true, force: true });
    await cp(image, dataDir, { recursive: true });
  }
  await rm(image, { recursive: true, force: true });
  const saidBefore = readFileSync(logPath, 'utf8').length;
  world.target.start(name);
  return {
    what: isPromised
      ? `${name}: as it was ${OLDER_MS} ms before, ${withWatermark ? 'all of it, for the same leader' : 'all but the watermark'}`
      : `${name}: left as it was, since another leads or it had nothing new`,
    holds: [name],
    lastsMs: 1_000,
    heal: async () => {
      const outcome = await comeBack(world, name);
      if (!isPromised || outcome === 'late') return;
      const found = FOUND_OUT[withWatermark ? 'byLeader' : 'byItself'];
      let said = '';
      // It is up before the leader has compared a single entry with it.
      await until(FOUND_WITHIN_MS, 'the old disk to be found out', () => {
        said = readFileSync(logPath, 'utf8').slice(saidBefore);
        return outcome === 'ended' || said.includes(found);
      }).catch(() => undefined);
      const after = standingOf(await world.target.statuses());
      if (withWatermark && !isSame(now, after)) return;
      if (outcome === 'ended') world.violation(`${name} ended itself over its old disk:\n${said}`);
      else if (!said.includes(found))
        world.violation(
          `${name} counts with an old disk (${JSON.stringify({ before, now, after, imageEnd, named })}):\n${said}`,
        );
    },
    struck: () => isPromised,
  };
}

/** Waits until the leader counts what it has acknowledged behind this index. */
async function holdsMore(world: OurWorld, name: string, index: number): Promise<boolean> {
  return await until(CAUGHT_UP_WITHIN_MS, 'new entries', async () => {
    const leader = (await world.target.statuses()).find((status) => status.role === 'leader');
    const counted = leader?.members.find((member) => member.name === name);
    return counted !== undefined && counted.matchIndex > index;
  }).then(
    () => true,
    () => false,
  );
}

export const OLD_IMAGE: FaultKind<HoldfastTarget> = {
  name: 'old disk image',
  needs: [],
  weight: 2,
  takes: 'one',
  alone: true,
  targets: OURS,
  inject: (world) => whileKeysStand(world, putBack),
};
