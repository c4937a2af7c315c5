import type { Chance } from './chance.ts';

/** What can go wrong in a run. Each run draws which of these it has, so that rare combinations come up. */
export const FAULTS = [
  'loss',
  'duplication',
  'reordering',
  'replay',
  'cuts',
  'oneWayCuts',
  'crashes',
  'massCrashes',
  'assassinations',
  'pauses',
  'clockSkew',
  'clockJumps',
  'tornWrites',
  'slowDisks',
  'hungDisks',
  'diskErrors',
  'membership',
  'transfers',
  'lostTails',
] as const;
export type Fault = (typeof FAULTS)[number];

/** The small numbers of one run, drawn from its seed, so that rare paths are taken in every one. */
export interface Knobs {
  readonly voters: number;
  readonly learners: number;
  readonly faults: ReadonlySet<Fault>;
  readonly realSeals: boolean;
  readonly electionTicksMin: number;
  readonly electionTicksMax: number;
  readonly heartbeatTicks: number;
  readonly trailingEntries: number;
  readonly heldEntries: number;
  readonly segmentBytes: number;
  readonly appendBytesMax: number;
  readonly inFlightMessagesMax: number;
  readonly uncommittedBytesMax: number;
  readonly backlogBytesMax: number;
  readonly networkDelayMs: number;
  readonly diskDelayMs: number;
  readonly faultEveryMs: number;
  readonly workEveryMs: number;
  readonly clients: number;
  readonly lossProbability: number;
}

export interface KnobChoice {
  /** Left out of the run, whatever the seed says: for finding the smallest run that still fails. */
  readonly without?: readonly Fault[];
  readonly voters?: number;
}

/** One run in so many seals and opens for real; the others check place and purpose without the mathematics. */
const REAL_SEALS_ONE_IN = 32;

export function drawKnobs(chance: Chance, choice: KnobChoice = {}): Knobs {
  const voters = chance.pick([1, 2, 3, 3, 3, 3, 4, 5, 5, 5]) ?? 3;
  const learners = chance.happens(0.2) ? 1 : 0;
  const faults = FAULTS.filter(() => chance.happens(0.5));
  const electionTicksMin = chance.integer(4, 8);
  return {
    voters: choice.voters ?? voters,
    learners,
    faults: new Set(faults.filter((fault) => !choice.without?.includes(fault))),
    realSeals: chance.integer(1, REAL_SEALS_ONE_IN) === 1,
    electionTicksMin,
    electionTicksMax: electionTicksMin * 2,
    heartbeatTicks: chance.integer(1, 2),
    trailingEntries: chance.pick([1, 2, 5, 20]) ?? 1,
    segmentBytes: chance.pick([4_096, 4_096, 8_192, 16_384]) ?? 4_096,
    appendBytesMax: chance.pick([200, 800, 4_000]) ?? 200,
    inFlightMessagesMax: chance.integer(1, 4),
    uncommittedBytesMax: chance.pick([2_000, 8_000]) ?? 2_000,
    backlogBytesMax: chance.pick([1_000, 4_000, 64_000]) ?? 1_000,
    networkDelayMs: chance.pick([1, 5, 20]) ?? 1,
    diskDelayMs: chance.pick([0.2, 2, 15]) ?? 0.2,
    faultEveryMs: chance.pick([150, 400, 1_000]) ?? 400,
    workEveryMs: chance.pick([4, 10, 25]) ?? 10,
    clients: chance.integer(2, 4),
    lossProbability: chance.between(0.01, 0.3),
    heldEntries: chance.pick([0, 10, 100]) ?? 0,
  };
}
