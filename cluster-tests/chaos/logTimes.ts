import type { StatusResponse } from '../../src/client/index.ts';

const SAMPLES_MAX = 5_000;

interface Sample {
  readonly name: string;
  readonly index: number;
  readonly timeMs: number;
}

/** Log time by applied index, as all nodes tell it: it is part of the state, so it is one for each index, and never falls. */
export class LogTimes {
  /** By index, ascending. */
  readonly #samples: Sample[] = [];

  /** Takes note of what a node says; a sentence when it cannot be. */
  observe(status: Pick<StatusResponse, 'name' | 'appliedIndex' | 'logTimeMs'>): string | null {
    const sample = { name: status.name, index: status.appliedIndex, timeMs: status.logTimeMs };
    const before = this.#samples.findLastIndex(({ index }) => index <= sample.index);
    const lower = this.#samples[before];
    const upper = this.#samples[before + 1];
    if (lower?.index === sample.index) {
      return lower.timeMs === sample.timeMs ? null : `log time differs: ${told(lower)}, ${told(sample)}`;
    }
    if (lower !== undefined && lower.timeMs > sample.timeMs) return runsBack(lower, sample);
    if (upper !== undefined && upper.timeMs < sample.timeMs) return runsBack(sample, upper);
    this.#samples.splice(before + 1, 0, sample);
    if (this.#samples.length > SAMPLES_MAX) this.#samples.shift();
    return null;
  }
}

const told = ({ name, index, timeMs }: Sample): string => `${timeMs} at ${index} on ${name}`;

function runsBack(lower: Sample, upper: Sample): string {
  return `log time runs backwards: ${told(lower)}, ${told(upper)}`;
}
