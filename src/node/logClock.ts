import { assert } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import { LIMITS } from '../base/limits.ts';
import type { VoterClocks } from '../replication/replicatedLog.ts';

export interface LogClockSources {
  readonly clock: Clock;
  /** Log time as applied. */
  readonly appliedTimeMs: () => number;
  readonly voterClocks: () => VoterClocks;
}

/** After our clock was set, what was heard of the others' compares them with what it showed before. */
const CLOCK_SET_SETTLES_MS = 2_000;

/**
 * The leader's stamps: max(last stamp, own clock), where the own clock counts only up to clockAheadMsMax ahead of
 * the voters' median. A leader that is further off, or has not heard a majority, goes on from its last stamp by
 * monotonic time. Stamps never go back, whoever leads.
 */
export class LogClock {
  readonly #sources: LogClockSources;
  #lastStampMs = 0;
  /** Since when the last stamp, or the log's time as another leader left it, has been growing older. */
  #lastMonotonicMs: number;
  /** Wall time less monotonic time: changes by much only when the wall clock is set. */
  #offsetMs: number;
  #distrustedUntilMs = 0;

  constructor(sources: LogClockSources) {
    this.#sources = sources;
    this.#lastMonotonicMs = sources.clock.monotonicMs();
    this.#offsetMs = sources.clock.wallMs() - this.#lastMonotonicMs;
  }

  /** While another node led, its stamps were the time: what passed since our own last one does not count twice. */
  leadershipChanged(): void {
    this.#lastMonotonicMs = this.#sources.clock.monotonicMs();
  }

  /** A clock that was set by more than clockAheadMsMax is not ours to trust until the others have been heard anew. */
  #noticeClockSet(): void {
    const { clock } = this.#sources;
    const monotonicMs = clock.monotonicMs();
    const offsetMs = clock.wallMs() - monotonicMs;
    if (Math.abs(offsetMs - this.#offsetMs) > LIMITS.clockAheadMsMax) {
      this.#distrustedUntilMs = monotonicMs + CLOCK_SET_SETTLES_MS;
    }
    this.#offsetMs = offsetMs;
  }

  /** The next entry's time, milliseconds since 1970. */
  stampMs(): number {
    const { clock } = this.#sources;
    this.#noticeClockSet();
    const floorMs = Math.max(this.#lastStampMs, this.#sources.appliedTimeMs());
    const monotonicMs = clock.monotonicMs();
    const elapsedMs = Math.max(0, Math.floor(monotonicMs - this.#lastMonotonicMs));
    const candidateMs = this.trusted() ? clock.wallMs() : floorMs + elapsedMs;
    const stampMs = Math.max(floorMs, candidateMs);
    assert(stampMs >= this.#lastStampMs, 'log time never goes back');
    this.#lastStampMs = stampMs;
    this.#lastMonotonicMs = monotonicMs;
    return stampMs;
  }

  /** The log's time as far as this node can tell: about what the next stamp is, wherever it is made. Leaves no trace. */
  nowMs(): number {
    const { clock, appliedTimeMs } = this.#sources;
    const floorMs = Math.max(this.#lastStampMs, appliedTimeMs());
    const isSet = Math.abs(clock.wallMs() - clock.monotonicMs() - this.#offsetMs) > LIMITS.clockAheadMsMax;
    return isSet || !this.trusted() ? floorMs : Math.max(floorMs, clock.wallMs());
  }

  /** Whether the own clock is used: a majority of clocks is known, and ours is not far ahead of their median. */
  trusted(): boolean {
    if (this.#sources.clock.monotonicMs() < this.#distrustedUntilMs) return false;
    const { voterCount, othersAheadMs } = this.#sources.voterClocks();
    const known = [0, ...othersAheadMs].sort((left, right) => left - right);
    if (known.length <= Math.floor(Math.max(1, voterCount) / 2)) return false;
    const medianMs = known[Math.floor((known.length - 1) / 2)] ?? 0;
    return -medianMs <= LIMITS.clockAheadMsMax;
  }
}
